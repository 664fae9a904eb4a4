/*
 * Private to config: what is known only while a configuration is loaded (config->loader).
 */
#pragma once

#include "settings/conf_file.h"
#include "settings/config.h"
#include "settings/config_environment.h"

#define CONFIG_COMPONENT     "subscribe"
#define CONFIG_AMQP_NAME_MAX 255 /* of queues, exchanges and topics: AMQP 0-9-1, shortstr */
#define CONFIG_NOT_LATE      (-1)

/*
 * Is told each setting of the file of the configuration and of those it includes, before it is
 * applied: as it is written and as it is meant. `meant` is NULL when it is dropped, `option` when
 * its name is no option.
 */
struct config_observer {
    void *context;
    void (*setting)(void *context, struct config *config, const struct conf_setting *written,
                    const struct conf_setting *meant, const struct option *option);
};

/* config_load() with an observer, which may be NULL. */
struct config *config_load_observed(const struct config_request *request,
                                    const struct config_observer *observer,
                                    struct error *err) MUST_CHECK;

/* A value that gave way to one for the next rule or binding only. */
struct config_aside {
    const struct option *option; /* NULL: this place is free */
    char *value;
    struct config_origin origin;
};

#define CONFIG_ASIDE_MAX 6

struct config_loader {
    const struct config_observer *observer; /* NULL: none */
    bool in_own_file; /* and not in one that is read for every configuration */
    struct config_aside aside[CONFIG_ASIDE_MAX];
    const struct config_request *request;
    struct config_environment *environment;
    const struct conf_setting *current; /* being applied; NULL in between */
    char *start_dir;                    /* the current directory */
    char *queue_written;                /* queueName and queueShare before variables */
    char *share_written;
    unsigned short process_id; /* what ${RANDID} stands for */
    int late; /* an option set behind the subtopic lines it is meant for, or CONFIG_NOT_LATE */
};
