#include "stages/vip.h"

#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 1000

struct vip_address {
    int family;
    unsigned char bytes[sizeof(struct in6_addr)]; /* zeroed behind an IPv4 address */
};

struct vip {
    struct loop *loop;
    struct loop_timer *timer;
    struct vip_address *addresses;
    size_t count;
    bool here, asking, closing;
    bool found;  /* of the question under way */
    int failure; /* the same; an error number */
    bool failure_said;
};

/* ---- asking; maybe in a thread of the pool ---- */

static bool read_address(const struct sockaddr *from, struct vip_address *address)
{
    *address = (struct vip_address){.family = from ? from->sa_family : AF_UNSPEC};
    if (address->family == AF_INET)
        memcpy(address->bytes, &((const struct sockaddr_in *)from)->sin_addr,
               sizeof(struct in_addr));
    else if (address->family == AF_INET6)
        memcpy(address->bytes, &((const struct sockaddr_in6 *)from)->sin6_addr,
               sizeof(struct in6_addr));
    else
        return false;
    return true;
}

static bool is_wanted(const struct vip *vip, const struct vip_address *address)
{
    for (size_t i = 0; i < vip->count; i++)
        if (vip->addresses[i].family == address->family
            && memcmp(vip->addresses[i].bytes, address->bytes, sizeof(address->bytes)) == 0)
            return true;
    return false;
}

static void ask(void *context)
{
    struct vip *vip = context;
    struct vip_address address;
    struct ifaddrs *all = NULL;

    vip->found = false;
    vip->failure = getifaddrs(&all) == 0 ? 0 : errno;
    for (const struct ifaddrs *one = all; one && !vip->found; one = one->ifa_next)
        vip->found = read_address(one->ifa_addr, &address) && is_wanted(vip, &address);
    freeifaddrs(all);
}

/* ---- on the loop ---- */

static void vip_free(struct vip *vip)
{
    free(vip->addresses);
    free(vip);
}

/* A host that does not tell has not said that the address has moved. */
static void note_answer(struct vip *vip)
{
    if (!vip->failure)
        vip->here = vip->found;
    else if (!vip->failure_said)
        log_error("sr3sub.vip ask", "list the addresses of this host: %s", strerror(vip->failure));
    vip->failure_said = vip->failure != 0;
}

static void answered(void *context)
{
    struct vip *vip = context;

    vip->asking = false;
    if (vip->closing) {
        vip_free(vip);
        return;
    }
    note_answer(vip);
    loop_timer_set(vip->timer, ASK_MS);
}

static void ask_again(void *context)
{
    struct vip *vip = context;

    vip->asking = true;
    loop_work(vip->loop, ask, answered, vip);
}

static bool parse_address(const char *text, struct vip_address *address)
{
    *address = (struct vip_address){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    return inet_pton(address->family, text, address->bytes) == 1;
}

bool vip_check(const char *const *addresses, size_t count, struct error *err)
{
    struct vip_address address;

    for (size_t i = 0; i < count; i++)
        if (!parse_address(addresses[i], &address))
            return error_set(err, ERROR_OPERATOR,
                             "'%.100s' is no address; write one such as 192.0.2.1", addresses[i]);
    return true;
}

struct vip *vip_open(struct loop *loop, const char *const *addresses, size_t count,
                     struct error *err)
{
    struct vip *vip;

    if (!vip_check(addresses, count, err))
        return NULL;
    vip = memory_new(sizeof(*vip));
    vip->loop = loop;
    vip->count = count;
    vip->addresses = memory_resize(NULL, count + 1, sizeof(*vip->addresses));
    for (size_t i = 0; i < count; i++)
        parse_address(addresses[i], &vip->addresses[i]);
    vip->timer = loop_timer_open(loop, ask_again, vip);
    ask(vip); /* nothing runs yet that could be held up */
    note_answer(vip);
    loop_timer_set(vip->timer, ASK_MS);
    return vip;
}

void vip_close(struct vip *vip)
{
    if (!vip)
        return;
    loop_timer_close(vip->timer);
    vip->timer = NULL;
    if (vip->asking)
        vip->closing = true; /* the pool still works with it: freed when that ends */
    else
        vip_free(vip);
}

bool vip_is_here(const struct vip *vip)
{
    return vip->here;
}
