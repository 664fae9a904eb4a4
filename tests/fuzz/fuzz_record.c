/* Reads what a retry store holds: our records, and sr3's entries. Whatever is read is printed and
 * read again, and must be the same. */
#include "record.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct slice a, struct slice b)
{
    assert(a.length == b.length && (!a.length || memcmp(a.bytes, b.bytes, a.length) == 0));
}

static void check_again(const struct record *record)
{
    char *text = record_print(record);
    struct error err = {0};
    struct record again;

    assert(record_parse(text, strlen(text), &again, &err));
    check_same(record->envelope.body, again.envelope.body);
    check_same(record->envelope.exchange, again.envelope.exchange);
    check_same(record->envelope.routing_key, again.envelope.routing_key);
    check_same(record->envelope.content_type, again.envelope.content_type);
    assert(record->envelope.header_count == again.envelope.header_count);
    for (size_t i = 0; i < again.envelope.header_count; i++) {
        check_same(record->envelope.headers[i].name, again.envelope.headers[i].name);
        check_same(record->envelope.headers[i].value, again.envelope.headers[i].value);
    }
    assert(record->tries == again.tries && record->received_ns == again.received_ns
           && record->first_failure_ns == again.first_failure_ns);
    record_clear(&again);
    free(text);
}

static void check_announcement(const struct record *record)
{
    struct announcement announcement;
    struct error err = {0};

    if (announcement_parse(&record->envelope, &announcement, &err))
        announcement_clear(&announcement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct record record;

    if (record_parse((const char *)data, size, &record, &err)) {
        check_again(&record);
        record_clear(&record);
    } else {
        assert(err.kind == ERROR_PERMANENT && *err.text);
    }
    if (record_parse_sr3((const char *)data, size, &record, &err)) {
        check_again(&record);
        check_announcement(&record);
        record_clear(&record);
    }
    return 0;
}
