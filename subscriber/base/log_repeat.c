#include "base/log_repeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

/* The slot of that kind of line, or a free one; NULL: none is left. */
static struct log_repeat_slot *find(struct log_repeat *repeat, const struct log_record *record,
                                    const char *format, int64_t now_ms)
{
    struct log_repeat_slot *unused = NULL;

    for (size_t i = 0; i < LOG_REPEAT_SLOTS; i++) {
        struct log_repeat_slot *slot = &repeat->slots[i];
        bool over = !slot->where || (!slot->held && now_ms - slot->began_ms >= LOG_REPEAT_MS);

        if (!over && slot->where == record->where && slot->format == format)
            return slot;
        if (over && !unused)
            unused = slot;
    }
    if (unused)
        *unused = (struct log_repeat_slot){.where = record->where,
                                           .format = format,
                                           .file = record->file,
                                           .line = record->line,
                                           .level = record->level,
                                           .began_ms = now_ms};
    return unused;
}

bool log_repeat_passes(struct log_repeat *repeat, const struct log_record *record,
                       const char *format, int64_t limit, int64_t now_ms)
{
    struct log_repeat_slot *slot;
    uint64_t hash;

    if (limit <= 0 || (record->level != LOG_WARNING && record->level != LOG_ERROR))
        return true;
    slot = find(repeat, record, format, now_ms);
    if (!slot)
        return true;
    hash = hash_text(record->message);
    if (slot->shown < limit && !(slot->shown && hash == slot->text_hash)) {
        slot->shown++;
        slot->text_hash = hash;
        return true;
    }
    slot->held++;
    snprintf(slot->text, sizeof(slot->text), "%s", record->message);
    return false;
}

bool log_repeat_take(struct log_repeat *repeat, int64_t now_ms, bool all, struct log_record *record,
                     char text[LOG_MESSAGE_MAX])
{
    for (size_t i = 0; i < LOG_REPEAT_SLOTS; i++) {
        struct log_repeat_slot *slot = &repeat->slots[i];
        int64_t ms = now_ms - slot->began_ms;

        if (!slot->where || !slot->held || (!all && ms < LOG_REPEAT_MS))
            continue;
        if (slot->held > 1)
            snprintf(text, LOG_MESSAGE_MAX, "%s (and %" PRId64 " more like it in %" PRId64 " s)",
                     slot->text, slot->held - 1, (ms + 999) / 1000);
        else
            snprintf(text, LOG_MESSAGE_MAX, "%s", slot->text);
        *record = (struct log_record){.level = slot->level,
                                      .where = slot->where,
                                      .message = text,
                                      .file = slot->file,
                                      .line = slot->line};
        slot->where = NULL; /* the next one begins anew */
        return true;
    }
    return false;
}
