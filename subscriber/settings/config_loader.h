/*
 * Private to config: what is known only while a configuration is loaded (config->loader).
 */
#pragma once

#include "settings/conf_file.h"
#include "settings/config.h"

#define CONFIG_COMPONENT     "subscribe"
#define CONFIG_AMQP_NAME_MAX 255 /* of queues, exchanges and topics: AMQP 0-9-1, shortstr */
#define CONFIG_NOT_LATE      (-1)

struct config_loader {
    const struct config_request *request;
    const struct conf_setting *current; /* being applied; NULL in between */
    char *start_dir;                    /* the current directory */
    char *queue_written;                /* queueName and queueShare before variables */
    char *share_written;
    unsigned short process_id; /* what ${RANDID} stands for */
    int late; /* an option set behind the subtopic lines it is meant for, or CONFIG_NOT_LATE */
};
