/* SPDX-License-Identifier: BSD-2-Clause */
/* The continuity proof by itself, over the RAM back end. */
#include "bridge/bytes.h"
#include "bridge/continuity.h"
#include "bridge/opcode.h"
#include "ram_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct deferred_list deferred;
static struct ram_backend ram;
static struct continuity c;
static struct continuity_block blocks[CONTINUITY_BLOCKS];
static unsigned done_count;
static enum continuity_end done_end;
static const char *done_why;
static unsigned turns;

static void note_done(struct continuity *proof, enum continuity_end end, const char *why)
{
    assert_ptr_equal(proof, &c);
    assert_false(continuity_running(proof));
    done_count++;
    done_end = end;
    done_why = why;
}

static void take_no_note(void *ctx)
{
    (void)ctx;
}

static void take_no_note_of(void *ctx, const char *why)
{
    (void)ctx;
    (void)why;
}

static void there_is_room(void *ctx)
{
    (void)ctx;
    continuity_more(&c);
}

static const struct backend_events events = {take_no_note, take_no_note_of, there_is_room};

static int setup(void **state)
{
    (void)state;
    memset(&c, 0xa5, sizeof(c));
    memset(&ram, 0xa5, sizeof(ram));
    deferred_list_init(&deferred);
    ram_init(&ram, &deferred);
    ram.backend.events = &events;
    memset(blocks, 0, sizeof blocks);
    continuity_init(&c, blocks, &ram.backend, note_done, NULL);
    done_count = turns = 0;
    done_why = NULL;
    ram_up(&ram);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(ram.outstanding, 0);
    ram_free(&ram);
    return 0;
}

static void remember(uint64_t lba)
{
    continuity_remember(&c, lba, ram_block(&ram, lba), RAM_BLOCK_BYTES);
}

static void settle(void)
{
    for (unsigned idle = 0; idle <= ram.delay_turns; turns++) {
        unsigned before = ram.outstanding;
        ram_turn(&ram);
        bool ran = false;
        while (deferred_run(&deferred) > 0)
            ran = true;
        idle = ran || ram.outstanding != before ? 0 : idle + 1;
    }
}

static enum continuity_end prove(void)
{
    done_count = 0;
    continuity_prove(&c, RAM_BLOCK_BYTES);
    settle();
    assert_int_equal(done_count, 1);
    return done_end;
}

static void fail_reads(unsigned first, unsigned last, struct sense_code sense)
{
    ram_forget(&ram);
    ram.fail_number = first;
    ram.fail_last = last;
    ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    ram.fail_sense = sense;
}

static bool was_read(uint64_t lba)
{
    for (unsigned i = 0; i < ram.seen_count; i++)
        if (get_be32(ram.seen[i].cdb + 2) == lba)
            return true;
    return false;
}

/* ---- the proof ---- */

static void blocks_that_read_as_they_were_written_prove_the_disk(void **state)
{
    (void)state;
    remember(3);
    remember(8000);
    assert_int_equal(prove(), CONTINUITY_PROVED);
    assert_int_equal(ram.seen_count, 2);
    assert_true(was_read(3) && was_read(8000));
}

static void one_block_that_reads_differently_disproves_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        remember(i * 8);
    ram_block(&ram, 17 * 8)[511] ^= 1;
    assert_int_equal(prove(), CONTINUITY_DISPROVED);
    assert_non_null(done_why);
}

static void blocks_that_are_not_there_any_more_disprove_it(void **state)
{
    (void)state;
    remember(8000);
    remember(1);
    ram.blocks = 4000;
    assert_int_equal(prove(), CONTINUITY_DISPROVED);
}

static void a_block_that_cannot_be_read_says_nothing(void **state)
{
    static const struct sense_code unreadable = {SENSE_MEDIUM_ERROR, 0x11, 0x00};
    (void)state;
    remember(1);
    remember(2);
    fail_reads(1, 1, unreadable);
    assert_int_equal(prove(), CONTINUITY_PROVED);
}

static void blocks_that_all_cannot_be_read_disprove_it(void **state)
{
    static const struct sense_code unreadable = {SENSE_HARDWARE_ERROR, 0x44, 0x00};
    (void)state;
    remember(1);
    remember(2);
    fail_reads(1, 2, unreadable);
    assert_int_equal(prove(), CONTINUITY_DISPROVED);
}

static void a_lun_that_is_not_ready_is_asked_later(void **state)
{
    (void)state;
    remember(1);
    fail_reads(1, 1, sense_becoming_ready);
    assert_int_equal(prove(), CONTINUITY_FAULT);
    assert_non_null(done_why);
}

static void a_lun_that_is_reserved_is_asked_later(void **state)
{
    (void)state;
    remember(1);
    ram.pr_holder = RAM_PR_OTHERS;
    assert_int_equal(prove(), CONTINUITY_FAULT);
    assert_non_null(strstr(done_why, "another initiator"));
}

static void a_short_good_read_proves_nothing(void **state)
{
    (void)state;
    remember(1);
    ram.short_number = 1;
    assert_int_equal(prove(), CONTINUITY_FAULT);
}

static void a_busy_target_is_asked_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++)
        remember(i);
    ram.fail_number = 1;
    ram.fail_last = 30;
    ram.fail_status = SCSI_STATUS_CODE_BUSY;
    assert_int_equal(prove(), CONTINUITY_PROVED);
    assert_int_equal(ram.seen_count, 42);
}

static void a_target_that_stays_busy_is_asked_later(void **state)
{
    (void)state;
    remember(1);
    ram.fail_number = 1;
    ram.fail_last = 1000;
    ram.fail_status = SCSI_STATUS_CODE_TASK_SET_FULL;
    assert_int_equal(prove(), CONTINUITY_FAULT);
}

static void the_attention_of_a_login_is_taken(void **state)
{
    static const struct sense_code power_on = {SENSE_UNIT_ATTENTION, 0x29, 0x00};
    (void)state;
    remember(1);
    ram.pending_attention = power_on;
    assert_int_equal(prove(), CONTINUITY_PROVED);
    assert_int_equal(ram.seen_count, 2);
}

static void an_attention_about_the_disk_ends_the_proof(void **state)
{
    static const struct sense_code inquiry_changed = {SENSE_UNIT_ATTENTION, 0x3f, 0x03};
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        remember(i);
    ram.pending_attention = inquiry_changed;
    assert_int_equal(prove(), CONTINUITY_CHANGED);
    assert_true(ram.seen_count < CONTINUITY_BLOCKS);
}

static void the_end_comes_once_no_read_is_out_any_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_READS; i++)
        remember(i);
    memset(ram.disk, 0, RAM_BLOCK_BYTES);
    ram.hold_from = 2;
    continuity_prove(&c, RAM_BLOCK_BYTES);
    settle();
    assert_int_equal(ram.outstanding, CONTINUITY_READS - 1);
    assert_int_equal(done_count, 0);
    ram.hold_from = 0;
    settle();
    assert_int_equal(done_count, 1);
    assert_int_equal(done_end, CONTINUITY_DISPROVED);
}

static void all_blocks_take_about_four_round_trips(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        remember(i);
    ram.delay_turns = 20;
    assert_int_equal(prove(), CONTINUITY_PROVED);
    assert_int_equal(ram.seen_count, CONTINUITY_BLOCKS);
    assert_in_range(turns, 4 * 20, 6 * 20); /* one of them waits for more that never comes */
}

static void a_full_session_takes_the_rest_later(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        remember(i);
    ram.room = 1;
    assert_int_equal(prove(), CONTINUITY_PROVED);
    assert_int_equal(ram.seen_count, CONTINUITY_BLOCKS);
}

static void a_session_that_ends_leaves_the_proof_to_the_next(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        remember(i);
    ram.hold_from = 5;
    ram.room = 6; /* some of them wait for room */
    continuity_prove(&c, RAM_BLOCK_BYTES);
    settle();
    ram_lose(&ram, "cable");
    settle();
    assert_int_equal(done_count, 0);
    assert_false(continuity_running(&c));
    ram.hold_from = 0;
    ram.room = RAM_QUEUE;
    ram_up(&ram);
    assert_int_equal(prove(), CONTINUITY_PROVED);
}

static void addresses_beyond_32_bits_are_read_with_read_16(void **state)
{
    (void)state;
    remember(1);
    continuity_remember(&c, UINT64_C(0x123456789), ram_block(&ram, 2), RAM_BLOCK_BYTES);
    continuity_remember(&c, UINT32_MAX, ram_block(&ram, 3), RAM_BLOCK_BYTES);
    prove();
    assert_int_equal(ram.seen_count, 3);
    assert_int_equal(ram.seen[1].cdb[0], OP_READ_16);
    assert_true(get_be64(ram.seen[1].cdb + 2) == UINT64_C(0x123456789));
    assert_int_equal(get_be32(ram.seen[1].cdb + 10), 1);
    assert_int_equal(ram.seen[2].cdb[0], OP_READ_10);
    assert_int_equal(get_be16(ram.seen[2].cdb + 7), 1);
}

static void blocks_of_4096_bytes_are_compared_to_their_last_byte(void **state)
{
    (void)state;
    ram.block_bytes = 4096;
    ram.blocks = RAM_BLOCKS / 8;
    continuity_remember(&c, 5, ram_block(&ram, 5), 4096);
    continuity_prove(&c, 4096);
    settle();
    assert_int_equal(done_end, CONTINUITY_PROVED);
    ram_block(&ram, 5)[4095] ^= 0x80;
    continuity_prove(&c, 4096);
    settle();
    assert_int_equal(done_end, CONTINUITY_DISPROVED);
}

/* ---- what is remembered ---- */

static void the_newest_blocks_are_kept(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS + 3; i++)
        remember(i);
    prove();
    assert_int_equal(ram.seen_count, CONTINUITY_BLOCKS);
    assert_false(was_read(0) || was_read(2));
    assert_true(was_read(3) && was_read(CONTINUITY_BLOCKS + 2));
}

static void a_write_forgets_the_blocks_it_touches_and_no_others(void **state)
{
    (void)state;
    for (unsigned i = 10; i < 16; i++)
        remember(i);
    continuity_forget(&c, 11, 14);
    prove();
    assert_int_equal(ram.seen_count, 3);
    assert_true(was_read(10) && was_read(14) && was_read(15));
}

static void forgetting_everything_leaves_nothing(void **state)
{
    (void)state;
    remember(0);
    remember(RAM_BLOCKS - 1);
    assert_false(continuity_empty(&c));
    continuity_forget(&c, 0, UINT64_MAX);
    assert_true(continuity_empty(&c));
}

static void unmapped_blocks_are_forgotten(void **state)
{
    uint8_t list[8 + 2 * 16 + 8] = {0};
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        remember(i);
    put_be64(list + 8, 2);
    put_be32(list + 16, 3);
    put_be64(list + 24, UINT64_MAX - 1); /* beyond everything, and no more */
    put_be32(list + 32, 8);
    put_be32(list + 40, 7); /* half a descriptor */
    continuity_forget_unmapped(&c, list, sizeof(list));
    prove();
    assert_int_equal(ram.seen_count, 7);
    assert_false(was_read(2) || was_read(3) || was_read(4));
}

/* An older copy probably has zeros where zeros were written last. */
static void blocks_of_one_byte_leave_room_to_others(void **state)
{
    (void)state;
    memset(ram_block(&ram, 1000), 0, (size_t)200 * RAM_BLOCK_BYTES);
    for (unsigned i = 0; i < 20; i++)
        remember(i);
    for (unsigned i = 0; i < 200; i++)
        remember(1000 + i);
    prove();
    unsigned others = 0;
    for (unsigned i = 0; i < 20; i++)
        others += was_read(i);
    assert_int_equal(others, CONTINUITY_BLOCKS / 2);
    assert_true(was_read(19) && was_read(1199));
    assert_int_equal(ram.seen_count, CONTINUITY_BLOCKS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_that_read_as_they_were_written_prove_the_disk),
        TEST(one_block_that_reads_differently_disproves_it),
        TEST(blocks_that_are_not_there_any_more_disprove_it),
        TEST(a_block_that_cannot_be_read_says_nothing),
        TEST(blocks_that_all_cannot_be_read_disprove_it),
        TEST(a_lun_that_is_not_ready_is_asked_later),
        TEST(a_lun_that_is_reserved_is_asked_later),
        TEST(a_short_good_read_proves_nothing),
        TEST(a_busy_target_is_asked_again),
        TEST(a_target_that_stays_busy_is_asked_later),
        TEST(the_attention_of_a_login_is_taken),
        TEST(an_attention_about_the_disk_ends_the_proof),
        TEST(the_end_comes_once_no_read_is_out_any_more),
        TEST(all_blocks_take_about_four_round_trips),
        TEST(a_full_session_takes_the_rest_later),
        TEST(a_session_that_ends_leaves_the_proof_to_the_next),
        TEST(addresses_beyond_32_bits_are_read_with_read_16),
        TEST(blocks_of_4096_bytes_are_compared_to_their_last_byte),
        TEST(the_newest_blocks_are_kept),
        TEST(a_write_forgets_the_blocks_it_touches_and_no_others),
        TEST(forgetting_everything_leaves_nothing),
        TEST(unmapped_blocks_are_forgotten),
        TEST(blocks_of_one_byte_leave_room_to_others),
    };
    return cmocka_run_group_tests_name("continuity", tests, NULL, NULL);
}
