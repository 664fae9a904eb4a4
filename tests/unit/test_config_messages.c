/* What is said about configurations: the texts of errors and warnings. */
#include "config_home.h"

#define T "~/.config/sr3/subscribe/t.conf:"
#define PENDING(what)                                                                              \
    ": is not carried out yet: this version " what "; remove the line if that will do"

static const struct {
    const char *lines, *text;
} errors[] = {
    {"", "~/.config/sr3/subscribe/t.conf: there is no broker; add a line such as 'broker "
         "amqps://dd.weather.gc.ca/'"},
    {BROKER "director /data\n", T "2: option 'director' is unknown; did you mean 'directory'?"},
    {BROKER "\nskip 3\n", T "3: option 'skip' is unknown, to sr3 too; remove the line, or put "
                            "'#' in front of it"},
    {BROKER "qeueu_name q\n", T "2: option 'qeueu_name' is unknown; did you mean 'queueName'?"},
    {BROKER "flowCalback x.X\n",
     T "2: option 'flowCalback' is unknown; did you mean 'flowCallback'?"},
    {"amqps://bob:secret@h/\n", T "1: option 'amqps://...@h/' is unknown, to sr3 too; remove the "
                                  "line, or put '#' in front of it"},
    {BROKER "timeout 3y\n", T "2: option 'timeout': '3y' is no duration; write a duration such as "
                              "90, 1.5s, 5m, 2h, 1d, 3w or 1h30m"},
    {BROKER "housekeeping 0\n", T "2: option 'housekeeping': '0' is out of range; write a duration "
                                  "from 1s to 1d"},
    {BROKER "expire -5m\n", T "2: option 'expire': '-5m' is out of range; write a duration from 0s "
                              "to 4294967.295s"},
    {BROKER "transfersMax 0\n",
     T "2: option 'transfersMax': '0' is out of range; write a number from 1 to 10000"},
    {BROKER "prefetch x\n", T "2: option 'prefetch': 'x' is no number; write digits, such as 25"},
    {BROKER "instances\n", T "2: option 'instances': the value is missing"},
    {BROKER "tlsRigour tight\n",
     T "2: option 'tlsRigour': 'tight' is unknown; write one of: lax,normal,strict"},
    {BROKER "nodupe_driver redis\n", T "2: option 'nodupe_driver': redis needs a line such as "
                                       "'nodupe_redis_serverurl redis://host:6379/0'"},
    {BROKER "nodupe_redis_serverurl http://h/\n", T "2: option 'nodupe_redis_serverurl': 'http' is "
                                                    "unknown; write one of: redis,rediss,unix"},
    {"broker mqtt://h/\n", T "1: option 'broker': 'mqtt' is unknown; write one of: amqp,amqps"},
    {"broker bob:secret@h\n", T "1: option 'broker': read URL: it has to begin like 'https://'"},
    {"broker amqp://eve@h:1/v\n",
     T "1: option 'broker': there is no password for user 'eve'; add the line "
       "'amqp://eve:PASSWORD@h:1/v' to ~/.config/sr3/credentials.conf"},
    {"subtopic #\n" BROKER, T "1: option 'subtopic': the broker line has to stand above it"},
    {BROKER "accept a DESTFM=x\n",
     T "2: option 'accept': unknown filename keyword 'DESTFM=x'; there are None, WHATFN, HEADFN, "
       "SENDER, NONE, NONESENDER, TIME, SATNET=x, DESTFN=name"},
    {BROKER "post_broker amqp://u:p@h/\n",
     T "2: option 'post_broker'" PENDING("announces nothing")},
    {BROKER "header a\n", T "2: option 'header': write it as 'header NAME=VALUE'"},
    {BROKER "logFile /var/log/${NOSUCH}\n",
     T "2: option 'logFile': '/var/log/${NOSUCH}' has a variable that is unknown, or differs from "
       "file to file; write a path without it"},
    {BROKER "fileEvents create,erase\n",
     T "2: option 'fileEvents': 'create,erase' is unknown; write one of: "
       "create,delete,link,mkdir,modify,rmdir"},
    {BROKER "messageRateMax fast\n",
     T "2: option 'messageRateMax': 'fast' is no number; write digits, such as 25 or 0.5"},
    {BROKER "kbytes_ps fast\n",
     T "2: option 'byteRateMax': 'fast' is no size; write bytes, such as 4096, 64k, 1.5m or 2gb"},
    {BROKER "nodupe_basis size\n",
     T "2: option 'nodupe_basis': 'size' is unknown; write one of: path,data,name"},
    {BROKER "post_format v04\n",
     T "2: option 'post_format': 'v04' is unknown; write one of: v02,v03,wis"},
    {BROKER "permDefault rw-r--r--\n",
     T "2: option 'permDefault': 'rw-r--r--' are no permissions; write octal digits, such as 644"},
    {BROKER "bufSize 0\n", T "2: option 'bufSize': '0' is out of range; write a number from 1 to "
                             "9007199254740992"},
    {BROKER "post_broker ftp://h/\n",
     T "2: option 'post_broker': 'ftp' is unknown; write one of: amqp,amqps"},
    {BROKER "accept\n", T "2: option 'accept': the value is missing"},
    {BROKER "inflight umask\n",
     T "2: option 'inflight': 'umask' cannot name files under way; write "
       "'.', an ending such as '.tmp', a directory such as 'tmp/' or "
       "'/data/tmp/', or 'none'"},
    {BROKER "declare env 1A=x\n", T "2: option 'declare': write it as 'declare env NAME=VALUE'"},
    {BROKER "include more.inc\n", "~/.config/sr3/subscribe/more.inc:2: option 'permLog': 'rw' are "
                                  "no permissions; write octal digits, such as 644"},
    {BROKER "nodupe_driver redis\nnodupe_redis_serverurl redis://r\nnodupe_redis_keybase "
            "0123456789012345678901234567890123456789012345678901234567890123456789\n",
     T "4: option 'nodupe_redis_keybase': "
       "'0123456789012345678901234567890123456789012345678901234567890123456789' is longer than 64 "
       "bytes, set a shorter one"},
};

static void errors_name_the_line(void **state)
{
    (void)state;
    write_file("subscribe/more.inc", "mirror on\npermLog rw\n");
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct error err;
        struct config *c = load(errors[i].lines, &err);
        bool refused = !c || !config_check_supported(c, &err);
        char *text = shorten(err.text);

        if (!refused || err.kind != ERROR_OPERATOR || strcmp(text, errors[i].text) != 0)
            fail_msg("'%s':\n got %s\nwant %s", errors[i].lines, refused ? text : "no error",
                     errors[i].text);
        free(text);
        config_free(c);
    }
}

static const struct {
    const char *lines, *text; /* "": no warning */
} warnings[] = {
    {"mirror on\naccept .*\n", ""},
    {"accept .*\nmirror on\n", T "4: option 'mirror': it changes behind an accept or reject line, "
                                 "but counts for all of them"},
    {"accept .*gif # x\n", T "3: option 'accept': what follows the pattern is taken as a comment; "
                             "sr3 takes it as a rule for file names and fails"},
    {"mirror y\n", T "3: option 'mirror': the value counts as off; write on or off"},
    {"timeout 5m # long\n", ""},
    {"timeout 5m long\n", T "3: option 'timeout': only the first word of its value counts"},
    {"source s9 # x\n", T "3: option 'source': '#' begins a comment only at the start of a line; "
                          "here it is part of the value"},
    {"discard true\n", T "3: option 'discard': a value behind it has no effect, as in sr3: files "
                         "stay"},
    {"declare source x\n", ""},
    {"declare cluster x\n", T "3: option 'declare': only 'declare env' has an effect"},
    {"subtopic a\ntopicPrefix v02\n",
     T "4: option 'topicPrefix': has no effect behind the subtopic lines"},
    {"subtopic a\ntopicPrefix v02\nsubtopic b\n", ""},
    {"include nosuch.inc\n", T "3: option 'include': read '~/.config/sr3/nosuch.inc': No such file "
                               "or directory"},
    {"queueName q_${RAND8}\n",
     T "3: option 'queueName': the queue gets another name at each start, "
       "so announcements between two starts are lost"},
    {"queueName q_${INSTANCE}\n",
     T "3: option 'queueName': each instance gets a queue of its own and fetches every file"},
    {"queueName q_${HOSTNAME}\n", T "3: option 'queueName': each host or container gets a queue of "
                                    "its own and fetches every file"},
    {"queueName q_${HOSTNAME}\ninstances 3\n", ""},
    {"queueName None\n", "~/.config/sr3/subscribe/t.conf: the queue 'q_anonymous.subscribe.t.t' is "
                         "shared with everybody else who uses this name as anonymous; set "
                         "queueName or queueShare"},
};

static void warnings_name_the_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(warnings); i++) {
        char *lines = memory_format(BROKER "queueName q_x\n%s", warnings[i].lines);
        struct config *c = must_load(lines);
        char *text = shorten(c->warning_count ? c->warnings[0] : "");

        if (c->warning_count > 1 || strcmp(text, warnings[i].text) != 0)
            fail_msg("'%s':\n got %s\nwant %s", warnings[i].lines, text, warnings[i].text);
        free(text);
        free(lines);
        config_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(warnings_name_the_line),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
