/*
 * Duplicate suppression: the hashes, and who asks, waits and is answered when. The store is a
 * scripted one that notes what it was asked; at the end the real embedded store serves three
 * instances that claim, confirm, release and die by chance.
 */
#include "stages/dedupe.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BASE     "sr3.nodupe.subscribe.subscribe/dd_all"
#define LEASE_MS 30000
#define T0       1735790592751000000

static const char *const verdict_names[] = {
    [DEDUPE_CLAIMED] = "claimed", [DEDUPE_DUPLICATE] = "duplicate", [DEDUPE_OLDER] = "older",
    [DEDUPE_BUSY] = "busy",       [DEDUPE_CONFIRMED] = "confirmed", [DEDUPE_RELEASED] = "released",
    [DEDUPE_LOST] = "lost",       [DEDUPE_UNKNOWN] = "unknown",
};

/* ---- a store that answers what it is told to, in any order ---- */

struct fake {
    struct store store;
    struct list asked, sent, answers;
    const char *failure;
};

static void fake_ask(struct store *store, struct store_question *question)
{
    list_append(&((struct fake *)store)->asked, &question->link);
}

static void fake_send(struct store *store)
{
    struct fake *fake = (struct fake *)store;

    list_append_all(&fake->sent, &fake->asked);
}

static struct store_question *fake_take_answer(struct store *store)
{
    struct list_link *link = list_take_first(&((struct fake *)store)->answers);

    return link ? LIST_ITEM(link, struct store_question, link) : NULL;
}

static const char *fake_failure(const struct store *store)
{
    return ((const struct fake *)store)->failure;
}

static void fake_close(struct store *store)
{
    (void)store;
}

static const struct store_functions fake_functions = {
    fake_ask, fake_send, fake_take_answer, fake_failure, fake_close,
};

/* ---- the scene of each test: claims named by letters ---- */

struct scene {
    struct fake fake;
    struct dedupe *dedupe;
    struct dedupe_claim claims[6];
    char names[6][2];
};

static struct dedupe *open_dedupe(struct store *store, int64_t lease_ms)
{
    struct dedupe_settings settings = {.key_base = BASE, .lease_ms = lease_ms};
    struct error err = {0};
    struct dedupe *dedupe = dedupe_open(store, &settings, &err);

    if (!dedupe)
        fail_msg("%s", err.text);
    return dedupe;
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    clock_hold(T0, 1000);
    scene->fake.store.functions = &fake_functions;
    list_init(&scene->fake.asked);
    list_init(&scene->fake.sent);
    list_init(&scene->fake.answers);
    scene->dedupe = open_dedupe(&scene->fake.store, LEASE_MS);
    for (size_t i = 0; i < COUNT_OF(scene->claims); i++) {
        scene->names[i][0] = (char)('a' + i);
        scene->claims[i].ticket = scene->names[i];
    }
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    dedupe_close(scene->dedupe);
    free(scene);
    clock_hold(-1, -1);
    return 0;
}

static struct dedupe_claim *claim_of(struct scene *scene, char name)
{
    return &scene->claims[name - 'a'];
}

static void identify(struct scene *scene, char name, const char *key, const char *path,
                     const char *destination)
{
    dedupe_identify(scene->dedupe, claim_of(scene, name), key, path, destination, T0);
}

static struct dedupe_claim *claim_of_question(struct store_question *question)
{
    return LIST_ITEM(question, struct dedupe_claim, question);
}

/* The questions sent and not answered yet: "claim a, renew b". */
static void expect_sent(struct scene *scene, const char *expected)
{
    static const char *const actions[] = {
        [STORE_CLAIM] = "claim",
        [STORE_CONFIRM] = "confirm",
        [STORE_RELEASE] = "release",
        [STORE_RENEW] = "renew",
    };
    struct list_link *link;
    char text[200] = "";

    dedupe_send(scene->dedupe);
    for (link = list_first(&scene->fake.sent); link; link = list_next(&scene->fake.sent, link)) {
        struct store_question *question = LIST_ITEM(link, struct store_question, link);
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "%s%s %s", used ? ", " : "",
                 actions[question->action], (char *)claim_of_question(question)->ticket);
    }
    assert_string_equal(text, expected);
}

/* The store answers what was asked for `name`. */
static void reply(struct scene *scene, char name, enum store_verdict verdict)
{
    struct store_question *question = &claim_of(scene, name)->question;

    assert_true(list_is_linked(&question->link));
    list_remove(&question->link);
    question->verdict = verdict;
    question->busy_ms = verdict == STORE_BUSY ? 777 : 0;
    list_append(&scene->fake.answers, &question->link);
}

/* All answers that are to be had: "a claimed, b busy". */
static void expect_answers(struct scene *scene, const char *expected)
{
    struct dedupe_claim *claim;
    char text[200] = "";

    while ((claim = dedupe_take_answer(scene->dedupe))) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "%s%s %s", used ? ", " : "",
                 (char *)claim->ticket, verdict_names[claim->verdict]);
    }
    assert_string_equal(text, expected);
}

/* `name` is claimed and the store agrees. */
static void take(struct scene *scene, char name)
{
    dedupe_claim(scene->dedupe, claim_of(scene, name));
    dedupe_send(scene->dedupe);
    reply(scene, name, STORE_CLAIMED);
    assert_ptr_equal(dedupe_take_answer(scene->dedupe), claim_of(scene, name));
    assert_int_equal(claim_of(scene, name)->verdict, DEDUPE_CLAIMED);
}

static void pass(int64_t ms)
{
    clock_hold(clock_wall_ns() + ms * NS_PER_MS, clock_now_ms() + ms);
}

/* ---- hashes and settings ---- */

#define LONG_SHA512                                                                                \
    "sha512,xCLSJPkRrzKrpM9oBxUB3aH8xOIqhwFolyH1P+hnp0SDKKDGilGdFQqjkko/"                          \
    "UNBhicFQsKUr5uSQ8637DLILdw=="

static const struct {
    const char *key, *path, *hashes;
} hash_cases[] = {
    {"a", "a", "fd2af1f429e63ccfe534b6b5a0a435c1.fd2af1f429e63ccfe534b6b5a0a435c1"},
    {"md5,c1/E3fVQHpcBSOQu+aSMOg==",
     "observations/swob-ml/20250102/CYUL/2025-01-02-0400-CYUL-AUTO-swob.xml",
     "daa538a430b7969077fb024ee94686b1.068cca85d5b69cf9cade94b11bd7725a"},
    {LONG_SHA512, "bulletins/alphanumeric/20250102/SA/CWAO/04/SACN31_CWAO_020400___12345",
     "d841abd4777f1de79738593920084ae8.0358d8e59b953018fc2d293b69c471da"},
    {"radar/CAPPI/GIF/XAM/202501020400_XAM_CAPPI.gif,20250102T040310,10240",
     "radar/CAPPI/GIF/XAM/202501020400_XAM_CAPPI.gif",
     "3a184c59b49f08825e79997d60505821.fa01f1b761a93e537db35df6267d45b3"},
    {"/citypage_weather/xml/QC/s0000635 e.xml,20250102T040312.75",
     "citypage_weather/xml/QC/s0000635 e.xml",
     "e6f2d0be7316f67ffbb37396bdb634f3.b542ae8989c58a32c903d48dfb40e2e9"},
    {"202501020400_XAM_CAPPI.gif", "radar/latest.gif",
     "4c31b4c2b89f104a4c8376c82a8f2f54.46f1d0cee609ce93a6e4fba8bd90265e"},
    {"radar/XAM", "radar/XAM", "55d9fa9ce2b27a8193ad9de561f512c3.55d9fa9ce2b27a8193ad9de561f512c3"},
    {"radar/old.gif,20250102T040312.75", "radar/old.gif",
     "a2933c8b3613774f487bea0fe742b83d.3b0a94e3e3056950e9fd26cab1793d7e"},
    {"a/b,20250102T040310,3", "a/b",
     "32f376b40d7abe0698b451a99c00fd35.487c54998c8b514afed749cbdc2e3e53"},
    {"md5,abc==", "data", "d7aef30263893534564b6cd4f78ff67e.223df9d1b82898b7df5313e07924f549"},
    {"\xc3\xa9 b.txt", "\xc3\xa9 b.txt",
     "950e23b59a751d19cc4c574a3ad0ba45.950e23b59a751d19cc4c574a3ad0ba45"},
};

static size_t print_hash(const unsigned char bytes[16], char *text)
{
    for (size_t i = 0; i < 16; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    return 32;
}

static void hashes_are_those_of_sr3(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(hash_cases); i++) {
        struct store_identity *identity = &scene->claims[0].question.identity;
        char text[66] = "", place[33];
        size_t used;

        identify(scene, 'a', hash_cases[i].key, hash_cases[i].path, hash_cases[i].path);
        used = print_hash(identity->key, text);
        text[used++] = '.';
        print_hash(identity->path, text + used);
        if (strcmp(text, hash_cases[i].hashes) != 0)
            fail_msg("'%s', '%s': got %s", hash_cases[i].key, hash_cases[i].path, text);
        print_hash(identity->place, place);
        assert_string_equal(place, hash_cases[i].hashes + 33);
    }
}

#define TEN "0123456789"

static const struct {
    const char *key_base;
    bool good;
} bases[] = {
    {"x", true},
    {TEN TEN TEN TEN TEN TEN "1234", true},
    {TEN TEN TEN TEN TEN TEN "12345", false},
    {"", false},
};

static void key_base_must_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bases); i++) {
        struct dedupe_settings settings = {.key_base = bases[i].key_base, .lease_ms = LEASE_MS};
        struct fake fake = {.store.functions = &fake_functions};
        struct error err = {0};
        struct dedupe *dedupe = dedupe_open(&fake.store, &settings, &err);

        if (bases[i].good ? !dedupe : dedupe || err.kind != ERROR_OPERATOR)
            fail_msg("'%s': %s", bases[i].key_base, err.text);
        dedupe_close(dedupe);
    }
}

static void owners_differ(void **state)
{
    struct scene *scene = *state;
    struct scene *other;
    char first[STORE_OWNER_SIZE];

    identify(scene, 'a', "k", "p", "d");
    take(scene, 'a');
    memcpy(first, claim_of(scene, 'a')->question.owner, sizeof(first));
    dedupe_release(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "release a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "a released");
    take(scene, 'a');
    assert_string_not_equal(first, claim_of(scene, 'a')->question.owner);

    scene_open((void **)&other);
    identify(other, 'a', "k", "p", "d");
    take(other, 'a');
    assert_string_not_equal(first, claim_of(other, 'a')->question.owner);
    scene_close((void **)&other);
}

/* ---- answers ---- */

static const struct {
    enum store_verdict store;
    enum dedupe_verdict verdict;
    int64_t busy_ms;
} claim_answers[] = {
    {STORE_CLAIMED, DEDUPE_CLAIMED, 0}, {STORE_DUPLICATE, DEDUPE_DUPLICATE, 0},
    {STORE_OLDER, DEDUPE_OLDER, 0},     {STORE_BUSY, DEDUPE_BUSY, 777},
    {STORE_FAILED, DEDUPE_UNKNOWN, 0},
};

static void claims_are_answered(void **state)
{
    for (size_t i = 0; i < COUNT_OF(claim_answers); i++) {
        struct scene *scene;
        struct dedupe_claim *claim;

        scene_open((void **)&scene);
        claim = claim_of(scene, 'a');
        identify(scene, 'a', "k", "p", "d");
        dedupe_claim(scene->dedupe, claim);
        expect_answers(scene, "");
        expect_sent(scene, "claim a");
        reply(scene, 'a', claim_answers[i].store);
        assert_ptr_equal(dedupe_take_answer(scene->dedupe), claim);
        assert_null(dedupe_take_answer(scene->dedupe));
        assert_int_equal(claim->verdict, claim_answers[i].verdict);
        assert_int_equal(claim->busy_ms, claim_answers[i].busy_ms);
        pass(LEASE_MS / 3); /* only what is held is renewed */
        expect_sent(scene, claim->verdict == DEDUPE_CLAIMED ? "renew a" : "");
        scene_close((void **)&scene);
    }
    (void)state;
}

static void what_fails_stays_held(void **state)
{
    struct scene *scene = *state;

    identify(scene, 'a', "k", "p", "d");
    take(scene, 'a');
    dedupe_confirm(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "confirm a");
    reply(scene, 'a', STORE_FAILED);
    expect_answers(scene, "a unknown");
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew a");
    reply(scene, 'a', STORE_FAILED);
    expect_answers(scene, "");
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew a");
    reply(scene, 'a', STORE_DONE);
    dedupe_confirm(scene->dedupe, claim_of(scene, 'a'));
    expect_answers(scene, "");
    expect_sent(scene, "confirm a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "a confirmed");
    pass(LEASE_MS);
    expect_sent(scene, "");
}

/* ---- those who wait here ---- */

/* a: key 1 at x; b: the same; c: another key at x; d: key 1 elsewhere; e: nothing in common. */
static void identify_all(struct scene *scene)
{
    identify(scene, 'a', "1", "p", "x");
    identify(scene, 'b', "1", "p", "x");
    identify(scene, 'c', "2", "q", "x");
    identify(scene, 'd', "1", "p", "y");
    identify(scene, 'e', "3", "r", "z");
}

static void claim_all(struct scene *scene)
{
    identify_all(scene);
    for (char name = 'a'; name <= 'e'; name++)
        dedupe_claim(scene->dedupe, claim_of(scene, name));
    expect_sent(scene, "claim a, claim e");
}

static void copies_wait_for_the_first(void **state)
{
    struct scene *scene = *state;

    claim_all(scene);
    reply(scene, 'e', STORE_CLAIMED);
    reply(scene, 'a', STORE_CLAIMED);
    expect_answers(scene, "e claimed, a claimed");
    dedupe_confirm(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "confirm a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "a confirmed");
    expect_sent(scene, "claim b"); /* c and d now wait for b */
    reply(scene, 'b', STORE_DUPLICATE);
    expect_answers(scene, "b duplicate, d duplicate"); /* d has the same key and path */
    expect_sent(scene, "claim c");
    reply(scene, 'c', STORE_OLDER);
    expect_answers(scene, "c older");
    expect_sent(scene, "");
}

static const struct {
    enum store_verdict verdict;
    const char *answers, *sent;
} settled[] = {
    {STORE_DUPLICATE, "a duplicate, b duplicate, d duplicate", "claim e, claim c"},
    {STORE_OLDER, "a older", "claim e, claim b"},
    {STORE_BUSY, "a busy, b busy", "claim e, claim c, claim d"},
    {STORE_FAILED, "a unknown", "claim e, claim b"},
};

static void waiters_go_on_when_the_first_is_settled(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(settled); i++) {
        struct scene *scene;

        scene_open((void **)&scene);
        claim_all(scene);
        reply(scene, 'a', settled[i].verdict);
        expect_answers(scene, settled[i].answers);
        expect_sent(scene, settled[i].sent);
        if (settled[i].verdict == STORE_BUSY)
            assert_int_equal(claim_of(scene, 'b')->busy_ms, 777);
        scene_close((void **)&scene);
    }
}

static void waiters_go_on_after_release_and_loss(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    dedupe_claim(scene->dedupe, claim_of(scene, 'b'));
    dedupe_release(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "release a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "a released");
    expect_sent(scene, "claim b");
    reply(scene, 'b', STORE_CLAIMED);
    expect_answers(scene, "b claimed");
    dedupe_claim(scene->dedupe, claim_of(scene, 'c'));
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew b");
    reply(scene, 'b', STORE_LOST);
    expect_answers(scene, "b lost");
    expect_sent(scene, "claim c");
}

/* c waits for the key of a, then for the place of e. */
static void a_waiter_may_wait_again(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    identify(scene, 'c', "1", "p", "z");
    take(scene, 'a');
    take(scene, 'e');
    dedupe_claim(scene->dedupe, claim_of(scene, 'c'));
    dedupe_release(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "release a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "a released");
    expect_sent(scene, "");
    dedupe_release(scene->dedupe, claim_of(scene, 'e'));
    expect_sent(scene, "release e");
    reply(scene, 'e', STORE_DONE);
    expect_answers(scene, "e released");
    expect_sent(scene, "claim c");
}

static void a_waiter_can_withdraw(void **state)
{
    struct scene *scene = *state;

    claim_all(scene);
    assert_true(dedupe_withdraw(scene->dedupe, claim_of(scene, 'b')));
    assert_false(dedupe_withdraw(scene->dedupe, claim_of(scene, 'b')));
    assert_false(dedupe_withdraw(scene->dedupe, claim_of(scene, 'a')));
    reply(scene, 'a', STORE_OLDER);
    expect_answers(scene, "a older");
    expect_sent(scene, "claim e, claim c, claim d");
}

/* ---- renewing ---- */

static void leases_are_renewed_when_due(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    pass(1000);
    take(scene, 'e');
    pass(LEASE_MS / 3 - 1001);
    expect_sent(scene, "");
    pass(1);
    expect_sent(scene, "renew a");
    pass(999);
    expect_sent(scene, "renew a");
    pass(1);
    expect_sent(scene, "renew a, renew e");
    reply(scene, 'e', STORE_DONE);
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "");
    pass(LEASE_MS / 3 - 1);
    expect_sent(scene, "");
    pass(1);
    expect_sent(scene, "renew e, renew a");
}

static const struct {
    enum store_verdict renewal;
    bool confirm;
} renewals[] = {
    {STORE_DONE, true},
    {STORE_FAILED, true},
    {STORE_LOST, true},
    {STORE_LOST, false},
};

static void confirm_waits_for_a_renewal(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(renewals); i++) {
        bool lost = renewals[i].renewal == STORE_LOST, confirm = renewals[i].confirm;
        struct scene *scene;

        scene_open((void **)&scene);
        identify_all(scene);
        take(scene, 'a');
        dedupe_claim(scene->dedupe, claim_of(scene, 'b'));
        pass(LEASE_MS / 3);
        expect_sent(scene, "renew a");
        (confirm ? dedupe_confirm : dedupe_release)(scene->dedupe, claim_of(scene, 'a'));
        expect_sent(scene, "renew a");
        reply(scene, 'a', renewals[i].renewal);
        expect_answers(scene, lost && confirm ? "a lost" : "");
        if (lost && confirm) {
            expect_sent(scene, "claim b");
            scene_close((void **)&scene);
            continue;
        }
        if (lost)
            expect_sent(scene, "release a, claim b");
        else
            expect_sent(scene, confirm ? "confirm a" : "release a");
        reply(scene, 'a', STORE_DONE);
        expect_answers(scene, confirm ? "a confirmed" : "a released");
        expect_sent(scene, "claim b");
        scene_close((void **)&scene);
    }
}

/* ---- whether a claim is surely ours ---- */

static void expect_sure(struct scene *scene, char name, bool sure)
{
    if (dedupe_is_sure(claim_of(scene, name)) != sure)
        fail_msg("%c should %sbe sure", name, sure ? "" : "not ");
}

static void a_claim_is_sure_until_its_lease_may_have_lapsed(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    dedupe_claim(scene->dedupe, claim_of(scene, 'a'));
    dedupe_send(scene->dedupe);
    pass(4000); /* the answer is slow: the lease may have begun when it was asked */
    reply(scene, 'a', STORE_CLAIMED);
    expect_answers(scene, "a claimed");
    expect_sure(scene, 'a', true);
    pass(LEASE_MS - LEASE_MS / 6 - 4001);
    expect_sure(scene, 'a', true);
    pass(1);
    expect_sure(scene, 'a', false); /* stood still: no renewal was asked for */
    expect_sent(scene, "renew a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "");
    expect_sure(scene, 'a', true);
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew a");
    reply(scene, 'a', STORE_LOST);
    expect_answers(scene, "a lost");
    expect_sure(scene, 'a', false);
}

static void a_store_that_failed_is_asked_again(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    take(scene, 'e');
    scene->fake.failure = "not connected";
    expect_sent(scene, "renew a, renew e");
    expect_sure(scene, 'a', false);
    reply(scene, 'a', STORE_FAILED);
    reply(scene, 'e', STORE_FAILED);
    expect_answers(scene, "");
    expect_sent(scene, "");
    scene->fake.failure = NULL;
    expect_sent(scene, "renew a, renew e");
    reply(scene, 'a', STORE_DONE);
    reply(scene, 'e', STORE_LOST);
    expect_answers(scene, "e lost");
    expect_sure(scene, 'a', true);
    expect_sure(scene, 'e', false);
}

static void a_claim_can_be_forgotten(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    dedupe_claim(scene->dedupe, claim_of(scene, 'b')); /* waits for a */
    dedupe_confirm(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "confirm a");
    reply(scene, 'a', STORE_FAILED);
    expect_answers(scene, "a unknown");
    dedupe_forget(scene->dedupe, claim_of(scene, 'a'));
    expect_sure(scene, 'a', true);
    expect_sent(scene, "claim b");
    pass(LEASE_MS);
    expect_sent(scene, "claim b");
}

static void lose(struct scene *scene)
{
    identify_all(scene);
    take(scene, 'a');
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew a");
    reply(scene, 'a', STORE_LOST);
}

static void a_lost_claim_confirms_nothing(void **state)
{
    struct scene *scene = *state;

    lose(scene);
    expect_answers(scene, "a lost");
    dedupe_confirm(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "");
    expect_answers(scene, "a lost");
    dedupe_release(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "release a");
    reply(scene, 'a', STORE_FAILED);
    expect_answers(scene, "a unknown");
    pass(LEASE_MS);
    expect_sent(scene, ""); /* not held any more */
    dedupe_release(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "release a");
    reply(scene, 'a', STORE_DONE);
    expect_answers(scene, "a released");
    take(scene, 'a');
}

/* The store says so when it is asked to confirm. */
static void a_confirm_can_be_refused(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    dedupe_claim(scene->dedupe, claim_of(scene, 'b')); /* waits for a */
    dedupe_confirm(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "confirm a");
    reply(scene, 'a', STORE_LOST);
    expect_answers(scene, "a lost");
    expect_sure(scene, 'a', false);
    expect_sent(scene, "claim b");
}

/* Taken anew is as good as kept, but not for what may be in its place already. */
static void what_is_pinned_cannot_be_taken_anew(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    take(scene, 'e');
    dedupe_pin(claim_of(scene, 'e'));
    pass(LEASE_MS);
    expect_sent(scene, "renew a, renew e");
    reply(scene, 'a', STORE_CLAIMED);
    reply(scene, 'e', STORE_CLAIMED);
    expect_answers(scene, "e lost");
    expect_sure(scene, 'a', true);
    expect_sure(scene, 'e', false);
    take(scene, 'e');
    expect_sure(scene, 'e', true);
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew a, renew e");
    reply(scene, 'a', STORE_DONE);
    reply(scene, 'e', STORE_CLAIMED); /* not pinned this time */
    expect_answers(scene, "");
}

static void confirm_answers_an_untaken_loss(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    take(scene, 'a');
    take(scene, 'e');
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew a, renew e");
    reply(scene, 'a', STORE_LOST);
    reply(scene, 'e', STORE_LOST);
    assert_ptr_equal(dedupe_take_answer(scene->dedupe), claim_of(scene, 'a'));
    dedupe_confirm(scene->dedupe, claim_of(scene, 'e'));
    expect_answers(scene, "e lost"); /* once */
    expect_sent(scene, "");
}

static void a_claim_lost_before_it_was_told_is_busy(void **state)
{
    struct scene *scene = *state;

    identify_all(scene);
    dedupe_claim(scene->dedupe, claim_of(scene, 'e'));
    dedupe_claim(scene->dedupe, claim_of(scene, 'a'));
    expect_sent(scene, "claim e, claim a");
    reply(scene, 'e', STORE_CLAIMED);
    reply(scene, 'a', STORE_CLAIMED);
    assert_ptr_equal(dedupe_take_answer(scene->dedupe), claim_of(scene, 'e'));
    pass(LEASE_MS / 3);
    expect_sent(scene, "renew e, renew a");
    reply(scene, 'a', STORE_LOST);
    expect_answers(scene, "a busy");
}

/* ---- many ---- */

#define MANY 3000

static void the_table_grows(void **state)
{
    struct scene *scene = *state;
    struct dedupe_claim *claims = memory_new(2 * MANY * sizeof(*claims));
    size_t answers = 0;

    for (size_t i = 0; i < 2 * MANY; i++) {
        char text[20];

        snprintf(text, sizeof(text), "%zu", i % MANY);
        dedupe_identify(scene->dedupe, &claims[i], text, text, text, T0);
        dedupe_claim(scene->dedupe, &claims[i]);
    }
    dedupe_send(scene->dedupe);
    for (size_t i = 0; i < 2 * MANY; i++)
        assert_int_equal(list_is_linked(&claims[i].question.link), i < MANY);
    for (size_t i = 0; i < MANY; i++) {
        list_remove(&claims[i].question.link);
        claims[i].question.verdict = STORE_DUPLICATE;
        list_append(&scene->fake.answers, &claims[i].question.link);
    }
    while (dedupe_take_answer(scene->dedupe))
        answers++;
    assert_int_equal(answers, 2 * MANY);
    expect_sent(scene, "");
    free(claims);
}

/* ---- three instances on one file ---- */

#define INSTANCES 3
#define JOBS      8
#define KEYS      5
#define PLACES    4
#define ROUNDS    1500
#define SHORT_MS  3000 /* the lease */

struct job {
    struct dedupe_claim claim;
    int key, place;
    enum { IDLE, ASKING, HOLDING, ENDING } doing;
    int64_t until_ms; /* of the lease, as far as this job can be sure */
};

struct instance {
    struct store *store;
    struct dedupe *dedupe;
    struct job *jobs;
};

struct world {
    struct loop *loop;
    char path[64];
    struct instance instances[INSTANCES];
    size_t claimed, confirmed, busy, known;
    unsigned random;
};

static unsigned chance(struct world *world, unsigned below)
{
    world->random = world->random * 1103515245u + 12345u;
    return (world->random >> 16) % below;
}

static void instance_open(struct world *world, struct instance *instance)
{
    struct store_settings settings = {
        .lease_ms = SHORT_MS, .nodupe_ttl_ms = 4 * SHORT_MS, .latest_ttl_ms = 4 * SHORT_MS};
    struct error err = {0};

    instance->store = store_open_sqlite(world->loop, world->path, &settings, &err);
    if (!instance->store)
        fail_msg("%s", err.text);
    instance->dedupe = open_dedupe(instance->store, SHORT_MS);
    instance->jobs = memory_new(JOBS * sizeof(*instance->jobs));
}

/* Like a kill: nothing is released, nobody is told. */
static void instance_die(struct instance *instance)
{
    dedupe_close(instance->dedupe);
    store_close(instance->store);
    free(instance->jobs);
}

static bool overlaps(const struct job *one, const struct job *other)
{
    return one != other && one->doing == HOLDING && one->until_ms > clock_now_ms()
           && (one->key == other->key || one->place == other->place);
}

static void check_alone(struct world *world, const struct job *job)
{
    for (size_t i = 0; i < INSTANCES; i++) {
        for (size_t k = 0; k < JOBS; k++) {
            if (overlaps(&world->instances[i].jobs[k], job))
                fail_msg("key %d, place %d are held twice", job->key, job->place);
        }
    }
}

static void job_begin(struct world *world, struct instance *instance, struct job *job)
{
    char key[16], place[16];

    job->key = (int)(clock_now_ms() / SHORT_MS * KEYS + chance(world, KEYS)); /* ever new ones */
    job->place = (int)chance(world, PLACES);
    snprintf(key, sizeof(key), "k%d", job->key);
    snprintf(place, sizeof(place), "d%d", job->place);
    dedupe_identify(instance->dedupe, &job->claim, key, "p", place,
                    clock_wall_ns() - (int64_t)chance(world, 2000) * NS_PER_MS);
    dedupe_claim(instance->dedupe, &job->claim);
    job->doing = ASKING;
}

static void job_act(struct world *world, struct instance *instance, struct job *job)
{
    if (job->doing == IDLE && chance(world, 2)) {
        job_begin(world, instance, job);
    } else if (job->doing == HOLDING && chance(world, 3) == 0) {
        (chance(world, 2) ? dedupe_confirm : dedupe_release)(instance->dedupe, &job->claim);
        job->doing = ENDING;
    } else if (job->doing == ASKING && chance(world, 20) == 0) {
        if (dedupe_withdraw(instance->dedupe, &job->claim))
            job->doing = IDLE;
    }
}

static void job_answered(struct world *world, struct job *job)
{
    enum dedupe_verdict verdict = job->claim.verdict;

    if (verdict == DEDUPE_CLAIMED)
        check_alone(world, job);
    world->claimed += verdict == DEDUPE_CLAIMED;
    world->confirmed += verdict == DEDUPE_CONFIRMED;
    world->busy += verdict == DEDUPE_BUSY;
    world->known += verdict == DEDUPE_DUPLICATE || verdict == DEDUPE_OLDER;
    assert_int_not_equal(verdict, DEDUPE_UNKNOWN);
    job->doing = verdict == DEDUPE_CLAIMED ? HOLDING : IDLE;
    job->until_ms = clock_now_ms() + SHORT_MS;
}

static bool instance_asks(const struct instance *instance)
{
    for (size_t k = 0; k < JOBS; k++) {
        if (instance->jobs[k].claim.asked)
            return true;
    }
    return false;
}

/* Until nothing is with the store any more: time stands still meanwhile. */
static void instance_step(struct world *world, struct instance *instance)
{
    struct dedupe_claim *claim;

    for (size_t k = 0; k < JOBS; k++)
        job_act(world, instance, &instance->jobs[k]);
    do {
        dedupe_send(instance->dedupe);
        if (instance_asks(instance))
            loop_wait(world->loop);
        while ((claim = dedupe_take_answer(instance->dedupe)))
            job_answered(world, LIST_ITEM(claim, struct job, claim));
    } while (instance_asks(instance));
    for (size_t k = 0; k < JOBS; k++) { /* whatever was due has been renewed now */
        struct job *job = &instance->jobs[k];

        if (job->doing == HOLDING)
            job->until_ms = job->claim.renew_at_ms + SHORT_MS - SHORT_MS / 3;
    }
}

static void nothing_is_held_twice(void **state)
{
    struct world world = {.loop = loop_open(), .random = 20250102};
    size_t deaths = 0;

    (void)state;
    snprintf(world.path, sizeof(world.path), "/tmp/test_dedupe.%d.db", (int)getpid());
    clock_hold(T0, 1000);
    for (size_t i = 0; i < INSTANCES; i++)
        instance_open(&world, &world.instances[i]);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct instance *instance = &world.instances[chance(&world, INSTANCES)];

        if (chance(&world, 100) == 0) {
            instance_die(instance);
            instance_open(&world, instance);
            deaths++;
        }
        instance_step(&world, instance);
        pass(chance(&world, 30) ? chance(&world, SHORT_MS / 10) : 2 * SHORT_MS);
    }
    for (size_t i = 0; i < INSTANCES; i++)
        instance_die(&world.instances[i]);
    loop_close(world.loop);
    clock_hold(-1, -1);
    unlink(world.path);
    if (deaths < 4 || world.claimed < 50 || world.confirmed < 20 || world.busy < 10
        || world.known < 20)
        fail_msg("too little came up: %zu deaths, %zu claimed, %zu confirmed, %zu busy, %zu known",
                 deaths, world.claimed, world.confirmed, world.busy, world.known);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hashes_are_those_of_sr3),
        cmocka_unit_test(key_base_must_fit),
        TEST(owners_differ),
        cmocka_unit_test(claims_are_answered),
        TEST(what_fails_stays_held),
        TEST(copies_wait_for_the_first),
        cmocka_unit_test(waiters_go_on_when_the_first_is_settled),
        TEST(waiters_go_on_after_release_and_loss),
        TEST(a_waiter_may_wait_again),
        TEST(a_waiter_can_withdraw),
        TEST(leases_are_renewed_when_due),
        cmocka_unit_test(confirm_waits_for_a_renewal),
        TEST(a_claim_is_sure_until_its_lease_may_have_lapsed),
        TEST(a_store_that_failed_is_asked_again),
        TEST(a_claim_can_be_forgotten),
        TEST(a_lost_claim_confirms_nothing),
        TEST(a_confirm_can_be_refused),
        TEST(what_is_pinned_cannot_be_taken_anew),
        TEST(confirm_answers_an_untaken_loss),
        TEST(a_claim_lost_before_it_was_told_is_busy),
        TEST(the_table_grows),
        cmocka_unit_test(nothing_is_held_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
