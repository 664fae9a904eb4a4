/*
 * Many transfers at once, over kept connections: http and https, ftp and ftps, sftp, local files.
 *
 * A transfer waits for its turn (so many at once in all, so many to one host), runs, and is taken
 * back with download_take_finished(). Its bytes go to the `receive` function as they arrive. A host
 * that is in trouble is paused, and transfers from it come back untried.
 *
 * http and https run on the loop. The others block in parts, so each of their transfers has a
 * thread of its own while it runs (courier.h); nothing of that is seen from outside.
 */
#pragma once

#include "base/loop.h"

struct download;
struct transfer;

enum download_tls {
    DOWNLOAD_TLS_LAX,    /* nothing is verified, neither certificates nor the keys of ssh hosts */
    DOWNLOAD_TLS_NORMAL, /* certificate and host name; ssh hosts must be known */
    DOWNLOAD_TLS_STRICT  /* the same, and nothing below TLS 1.2 */
};

enum download_flow {
    DOWNLOAD_GO_ON,
    DOWNLOAD_PAUSE, /* these bytes were not taken: offer them again after download_resume() */
    DOWNLOAD_STOP   /* the transfer has failed; the receiver knows why */
};

/* Called for the bytes of a successful answer, in order. `ticket` as given to download_start(). */
typedef enum download_flow download_receive(void *ticket, const char *bytes, size_t length);

/*
 * Called once, before the first bytes, for an empty file too: they begin at `from_byte` of the
 * file, which is what was asked for, or 0 because the whole file comes. `last_modified_s`: since
 * 1970, as the server says; -1: it does not. Not called when the transfer fails before.
 */
typedef void download_answered(void *ticket, int64_t from_byte, int64_t last_modified_s);

struct download_names {
    const char *const *items;
    size_t count;
};

struct download_settings {
    int transfers_max;          /* at once, in all */
    int transfers_max_per_host; /* at once, to one host and port */
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms; /* slower than 1 byte/s for this long: given up */
    int64_t total_timeout_ms; /* of one transfer; 0: none */
    int64_t byte_rate_max;    /* of all transfers together; 0: no limit */
    bool http2;               /* where https servers offer it */
    enum download_tls tls;
    const char *ca_file;                       /* PEM; NULL: the system's authorities */
    const char *known_hosts;                   /* as of OpenSSH; NULL: no ssh host is known */
    struct download_names url_allow, url_deny; /* hosts and address ranges (access.h) */
    struct download_names file_allow; /* directories below which file: URLs are read; absolute */
    download_receive *receive;
    download_answered *answered; /* may be NULL */
};

/* Who logs in, and how. Everything may be NULL or false. */
struct download_login {
    const char *user, *password;
    const char *bearer_token; /* http and https, instead of them */
    const char *ssh_key_file; /* private key, instead of a password */
    bool active;              /* ftp: the server makes the data connections */
    bool ascii;               /* ftp */
    bool tls;                 /* ftp: encrypted logins */
    bool prot_p;              /* ftp: encrypted data as well */
    bool implicit;            /* ftp: encrypted from the first byte */
};

struct download_request {
    const char *url;                    /* percent-encoded, without a user */
    const struct download_login *login; /* NULL: none */
    int64_t from_byte;      /* so many bytes are there already; 0: none, the whole file is wanted */
    int64_t validator_s;    /* Last-Modified of what is there; <= 0: unknown, then all is fetched */
    int64_t size_max_bytes; /* a longer file fails with ERROR_PERMANENT; 0: no limit */
    int64_t announced_bytes; /* one that is many times longer fails for now; 0: unknown */
    bool remove; /* nothing is fetched: the file is removed at its server, but for http and https;
                    it fails if the file is not as old as validator_s, > 0, says */
};

struct download_result {
    void *ticket;
    bool fetched;           /* the whole answer has arrived, or the file is removed */
    struct error err;       /* why not */
    bool untried;           /* it was not asked for: its host is paused, for retry_after_ms still */
    bool broken;            /* the connection broke in the middle: another try may do at once */
    bool gone;              /* the server does not have this file: HTTP 404 and 410, FTP 550 ... */
    bool timed_out;         /* the server was too slow */
    bool unconnected;       /* it could not be reached */
    long status;            /* HTTP status; 0: none was received */
    long connections;       /* made for it; 0: one that was there was used again */
    int64_t size_bytes;     /* received by this transfer */
    int64_t duration_ms;    /* from the start of the transfer, waiting not counted */
    int64_t retry_after_ms; /* the server asks for this delay; -1: it does not */
};

/* `settings` and what it points to are copied. NULL and ERROR_OPERATOR for what makes no sense. */
struct download *download_open(struct loop *loop, const struct download_settings *settings,
                               struct error *err) MUST_CHECK;
void download_close(struct download *download); /* stops what is under way; NULL is fine */

/*
 * Begins to fetch; `request` and what it points to are copied.
 *
 * The rest of a file is fetched only if the server says that the file was not changed since
 * `validator_s`. Otherwise the whole file comes, and download_answered() says so.
 */
struct transfer *download_start(struct download *download, const struct download_request *request,
                                void *ticket);

/* Ends a transfer that has not been taken back; its ticket will not be seen again. */
void download_cancel(struct transfer *transfer);

/* The receiver has room again after DOWNLOAD_PAUSE. */
void download_resume(struct transfer *transfer);

/* For how long the host of `url` is paused still, because it is in trouble; 0: it is not. */
int64_t download_pause_ms(const struct download *download, const char *url);

/*
 * To be called when nothing more can be taken on: transfers come back untried that have waited for
 * one slow server for long while others could run, and its host is paused for more of them. Returns
 * how many.
 */
int download_disperse(struct download *download);

/* False while it waits for its turn. */
bool download_is_active(const struct transfer *transfer);

/* Starts transfers whose turn has come and moves those on whose sockets are ready. */
void download_step(struct download *download);

/* Takes back the next transfer that ended, well or not. False if none did. */
bool download_take_finished(struct download *download, struct download_result *result);
