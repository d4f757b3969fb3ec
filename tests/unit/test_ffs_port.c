/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port over a scripted kernel: this file has its own ep0 and its own AIO in
 * place of ffs_ep0.c and libaio.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gadget/ffs_ep0.h"
#include "gadget/ffs_port.h"

#include <errno.h>
#include <libaio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EP_IN    10001 /* never opened: the scripted kernel does not look */
#define EP_OUT   10002
#define KERNEL_Q 32

/* ---- the scripted kernel ---- */

static struct {
    struct ffs_event events[8];
    unsigned event_count;
    bool setup_pending; /* an event was read that needs an answer */
    bool read_in_setup; /* and ep0 was read instead */
    struct iocb *queued[KERNEL_Q];
    unsigned queued_count;
    struct io_event ring[KERNEL_Q];
    unsigned ring_count;
    struct iocb *cancelled[KERNEL_Q];
    unsigned cancelled_count;
    int max_packet;
    unsigned acknowledged, stalled, answered, flushed, cleared;
    uint8_t answer;
    enum ffs_event_type overtakes; /* happens as a request is submitted; BIND: nothing */
} kernel;

int ffs_ep0_read(int ep0_fd, struct ffs_event *event)
{
    (void)ep0_fd;
    if (kernel.setup_pending) {
        kernel.read_in_setup = true;
        return -EPROTO;
    }
    if (kernel.event_count == 0)
        return 0;
    *event = kernel.events[0];
    kernel.event_count--;
    memmove(kernel.events, kernel.events + 1, kernel.event_count * sizeof(*event));
    kernel.setup_pending = event->type == FFS_EV_SETUP;
    return 1;
}

int ffs_ep0_answer(int ep0_fd, const void *data, size_t bytes)
{
    (void)ep0_fd;
    assert_true(kernel.setup_pending);
    assert_int_equal(bytes, 1);
    kernel.answer = *(const uint8_t *)data;
    kernel.answered++;
    kernel.setup_pending = false;
    return 0;
}

int ffs_ep0_acknowledge(int ep0_fd)
{
    (void)ep0_fd;
    assert_true(kernel.setup_pending);
    kernel.acknowledged++;
    kernel.setup_pending = false;
    return 0;
}

int ffs_ep0_stall(int ep0_fd, const struct ffs_event *setup)
{
    (void)ep0_fd;
    assert_non_null(setup);
    assert_true(kernel.setup_pending);
    kernel.stalled++;
    kernel.setup_pending = false;
    return 0;
}

int ffs_ep0_write_descriptors(int ep0_fd)
{
    (void)ep0_fd;
    return 0;
}

int ffs_endpoint_max_packet(int endpoint_fd)
{
    assert_int_equal(endpoint_fd, EP_IN);
    return kernel.max_packet;
}

void ffs_endpoint_flush(int endpoint_fd)
{
    (void)endpoint_fd;
    kernel.flushed++;
}

void ffs_endpoint_clear_halt(int endpoint_fd)
{
    assert_int_equal(endpoint_fd, EP_IN);
    kernel.cleared++;
}

int io_setup(int maxevents, io_context_t *ctxp)
{
    assert_true(maxevents >= 2 * FFS_PORT_DEPTH);
    *ctxp = (io_context_t)&kernel;
    return 0;
}

int io_destroy(io_context_t ctx)
{
    (void)ctx;
    return 0;
}

int io_submit(io_context_t ctx, long nr, struct iocb *ios[])
{
    (void)ctx;
    assert_int_equal(nr, 1);
    assert_in_range(kernel.queued_count, 0, KERNEL_Q - 1);
    kernel.queued[kernel.queued_count++] = ios[0];
    if (kernel.overtakes != FFS_EV_BIND)
        kernel.events[kernel.event_count++] = (struct ffs_event){.type = kernel.overtakes};
    return 1;
}

int io_getevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                 struct timespec *timeout)
{
    unsigned count = kernel.ring_count;

    (void)ctx;
    (void)timeout;
    assert_int_equal(min_nr, 0);
    assert_true((long)count <= nr);
    memcpy(events, kernel.ring, count * sizeof(*events));
    kernel.ring_count = 0;
    return (int)count;
}

int io_cancel(io_context_t ctx, struct iocb *iocb, struct io_event *evt)
{
    (void)ctx;
    (void)evt;
    kernel.cancelled[kernel.cancelled_count++] = iocb;
    return -EINPROGRESS;
}

/* Puts the completion of the i-th queued request into the ring. */
static void complete(unsigned i, long result)
{
    struct io_event *e = &kernel.ring[kernel.ring_count++];

    e->obj = kernel.queued[i];
    e->data = kernel.queued[i]->data;
    e->res = (unsigned long)result;
}

static void add_event(enum ffs_event_type type)
{
    kernel.events[kernel.event_count++] = (struct ffs_event){.type = type};
}

static void add_setup(uint8_t type, uint8_t request, uint16_t value, uint16_t length)
{
    kernel.events[kernel.event_count++] = (struct ffs_event){.type = FFS_EV_SETUP,
                                                             .request_type = type,
                                                             .request = request,
                                                             .value = value,
                                                             .length = length};
}

/* ---- the scripted protocol ---- */

static struct deferred_list deferred;
static struct ffs_port *port;
static struct usb_port *usb;
static char trace[512];
static struct usb_req reqs[16];
static uint8_t buffer[512];
static bool submit_in_reset;

static void note(const char *what, int number)
{
    size_t used = strlen(trace);

    (void)snprintf(trace + used, sizeof(trace) - used, "%s%d ", what, number);
}

static void on_enabled(void *ctx, enum usb_speed speed, uint16_t max_packet_bytes)
{
    (void)ctx;
    assert_true(speed != USB_SPEED_NONE);
    if (kernel.cleared)
        note("cleared", (int)kernel.cleared);
    note("enabled", max_packet_bytes);
}

static void on_disabled(void *ctx)
{
    (void)ctx;
    note("disabled", 0);
}

static void on_io_done(void *ctx, struct usb_req *req)
{
    (void)ctx;
    assert_false(req->busy);
    note("done", (int)(req - reqs));
}

static int submit(unsigned i, enum usb_endpoint endpoint)
{
    reqs[i] = (struct usb_req){.endpoint = endpoint, .buf = buffer, .length_bytes = 512};
    return usb->ops->submit(usb, &reqs[i]);
}

static void on_bot_reset(void *ctx)
{
    (void)ctx;
    note("reset", (int)kernel.acknowledged);
    if (submit_in_reset)
        assert_int_equal(submit(15, USB_OUT), 0);
}

static uint8_t max_lun(void *ctx)
{
    (void)ctx;
    return 3;
}

static const struct usb_port_events events = {
    .enabled = on_enabled,
    .disabled = on_disabled,
    .io_done = on_io_done,
    .bot_reset = on_bot_reset,
    .max_lun = max_lun,
};

static void log_nothing(enum lun_log_level level, const char *text)
{
    (void)level;
    (void)text;
}

static int setup(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof(kernel));
    memset(reqs, 0xa5, sizeof(reqs));
    kernel.max_packet = 512;
    trace[0] = '\0';
    submit_in_reset = false;
    deferred_list_init(&deferred);
    port = ffs_port_create(-1, &deferred, log_nothing);
    if (!port)
        return -1;
    usb = ffs_port_usb(port);
    usb->events = &events;
    return ffs_port_attach(port, EP_IN, EP_OUT);
}

static int teardown(void **state)
{
    (void)state;
    ffs_port_destroy(port);
    return 0;
}

static void enable(void)
{
    add_event(FFS_EV_BIND);
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    trace[0] = '\0';
}

/* ---- configuration ---- */

static void nothing_is_taken_before_the_host_configures(void **state)
{
    (void)state;
    add_event(FFS_EV_BIND);
    ffs_port_ep0_ready(port);
    assert_int_equal(submit(0, USB_OUT), -ESHUTDOWN);
    assert_int_equal(usb->ops->halt(usb, USB_IN), -ESHUTDOWN);
    assert_int_equal(kernel.queued_count, 0);
}

static void the_descriptor_in_use_tells_the_speed(void **state)
{
    (void)state;
    kernel.max_packet = 1024;
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "cleared1 enabled1024 ");
}

static void an_enable_that_is_over_already_is_not_told(void **state)
{
    (void)state;
    kernel.max_packet = -EAGAIN;
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "");
    assert_int_equal(submit(0, USB_OUT), -ESHUTDOWN);
}

static void an_enable_without_disable_is_both(void **state)
{
    (void)state;
    enable();
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 ");
}

static void unbind_disables_once(void **state)
{
    (void)state;
    enable();
    add_event(FFS_EV_DISABLE);
    add_event(FFS_EV_UNBIND);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "disabled0 ");
}

static void a_disable_also_ends_a_suspend(void **state)
{
    (void)state;
    enable();
    add_event(FFS_EV_SUSPEND);
    ffs_port_ep0_ready(port);
    assert_true(ffs_port_stats(port)->suspended);
    add_event(FFS_EV_DISABLE);
    ffs_port_ep0_ready(port);
    assert_false(ffs_port_stats(port)->suspended);
}

/* Requests wait in the endpoints for the resume, as a host's transfers do. */
static void a_suspend_leaves_the_requests_alone(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_IN), 0);
    add_event(FFS_EV_SUSPEND);
    ffs_port_ep0_ready(port);
    assert_true(ffs_port_stats(port)->suspended);
    assert_int_equal(submit(1, USB_OUT), 0);
    add_event(FFS_EV_RESUME);
    ffs_port_ep0_ready(port);
    assert_false(ffs_port_stats(port)->suspended);
    assert_int_equal(kernel.cancelled_count, 0);
    complete(0, 512);
    complete(1, 31);
    ffs_port_aio_ready(port);
    assert_string_equal(trace, "done0 done1 ");
    assert_int_equal(reqs[0].status | reqs[1].status, 0);
}

/* ---- requests ---- */

static void a_request_goes_to_its_endpoint_with_its_own_buffer(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_IN), 0);
    assert_int_equal(submit(1, USB_OUT), 0);
    assert_int_equal(kernel.queued[0]->aio_fildes, EP_IN);
    assert_int_equal(kernel.queued[0]->aio_lio_opcode, IO_CMD_PWRITE);
    assert_int_equal(kernel.queued[1]->aio_fildes, EP_OUT);
    assert_int_equal(kernel.queued[1]->aio_lio_opcode, IO_CMD_PREAD);
    assert_ptr_equal(kernel.queued[0]->u.c.buf, buffer);
    assert_true(reqs[0].busy && reqs[1].busy);
}

static void the_last_buffers_of_data_are_told_and_not_those_of_a_wrapper(void **state)
{
    static uint8_t data[2][4096];

    (void)state;
    enable();
    for (unsigned i = 0; i < 2; i++) {
        reqs[i] = (struct usb_req){
            .endpoint = i == 0 ? USB_IN : USB_OUT, .buf = data[i], .length_bytes = sizeof(data[i])};
        assert_int_equal(usb->ops->submit(usb, &reqs[i]), 0);
        assert_ptr_equal(kernel.queued[i]->u.c.buf, data[i]);
    }
    assert_int_equal(submit(2, USB_IN), 0);
    assert_int_equal(submit(3, USB_OUT), 0);
    assert_ptr_equal(ffs_port_stats(port)->last_in_buf, data[0]);
    assert_ptr_equal(ffs_port_stats(port)->last_out_buf, data[1]);
}

static void completions_carry_bytes_or_the_error(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_OUT), 0);
    assert_int_equal(submit(1, USB_OUT), 0);
    complete(0, 31);
    complete(1, -ECONNRESET);
    ffs_port_aio_ready(port);
    assert_string_equal(trace, "done0 done1 ");
    assert_int_equal(reqs[0].status, 0);
    assert_int_equal(reqs[0].actual_bytes, 31);
    assert_int_equal(reqs[1].status, -ECONNRESET);
    assert_int_equal(reqs[1].actual_bytes, 0);
    assert_int_equal(ffs_port_stats(port)->out_bytes, 31);
}

static void requests_of_one_endpoint_complete_in_their_order(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_IN), 0);
    assert_int_equal(submit(1, USB_IN), 0);
    assert_int_equal(submit(2, USB_OUT), 0);
    complete(1, 512);
    complete(2, 512);
    ffs_port_aio_ready(port);
    assert_string_equal(trace, "done2 ");
    complete(0, 512);
    ffs_port_aio_ready(port);
    assert_string_equal(trace, "done2 done0 done1 ");
}

static void a_disabled_endpoint_is_a_shutdown(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_IN), 0);
    complete(0, -EAGAIN);
    ffs_port_aio_ready(port);
    assert_int_equal(reqs[0].status, -ESHUTDOWN);
}

static void one_more_than_the_depth_is_refused_until_one_is_done(void **state)
{
    (void)state;
    enable();
    for (unsigned i = 0; i < FFS_PORT_DEPTH; i++)
        assert_int_equal(submit(i, USB_OUT), 0);
    assert_int_equal(submit(9, USB_OUT), -EAGAIN);
    assert_int_equal(submit(10, USB_IN), 0);
    complete(0, 512);
    ffs_port_aio_ready(port);
    assert_int_equal(submit(9, USB_OUT), 0);
}

static void a_request_of_an_older_configuration_only_gives_its_buffer_back(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_OUT), 0);
    add_event(FFS_EV_DISABLE);
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    complete(0, 512); /* as if it had been done just before */
    ffs_port_aio_ready(port);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 done0 ");
    assert_int_equal(reqs[0].status, -ESHUTDOWN);
    assert_int_equal(reqs[0].actual_bytes, 0);
    assert_int_equal(ffs_port_stats(port)->stale, 1);
    assert_int_equal(ffs_port_stats(port)->out_bytes, 0);
}

static void old_requests_do_not_take_the_place_of_new_ones(void **state)
{
    (void)state;
    enable();
    for (unsigned i = 0; i < FFS_PORT_DEPTH; i++)
        assert_int_equal(submit(i, USB_OUT), 0);
    add_event(FFS_EV_DISABLE);
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    assert_int_equal(submit(9, USB_OUT), 0);
}

static void an_enable_takes_back_what_slipped_into_the_new_configuration(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_OUT), 0);
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    assert_int_equal(kernel.cancelled_count, 1);
}

/* USB 2.0 9.4.5; and a halt may have been on its way to the kernel meanwhile. */
static void no_halt_outlives_a_new_configuration(void **state)
{
    (void)state;
    enable();
    assert_int_equal(kernel.cleared, 1);
    add_event(FFS_EV_ENABLE);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 ");
}

/* The host configures the device as the request is handed over, and its first
 * bytes are in a request that the protocol knows nothing of any more. */
static void bytes_that_a_new_configuration_lost_are_told(void **state)
{
    (void)state;
    enable();
    kernel.overtakes = FFS_EV_ENABLE;
    assert_int_equal(submit(0, USB_OUT), 0);
    kernel.overtakes = FFS_EV_BIND;
    assert_int_equal(kernel.cancelled_count, 1); /* at once, though it is too late */
    assert_string_equal(trace, "");
    (void)deferred_run(&deferred);
    complete(0, 31);
    ffs_port_aio_ready(port);
    assert_int_equal(reqs[0].status, -ESTALE);
    assert_int_equal(reqs[0].actual_bytes, 0);
}

/* Or the protocol would take a CBW of the new configuration for one of the old. */
static void a_new_configuration_is_told_before_what_came_in_since(void **state)
{
    (void)state;
    enable();
    kernel.overtakes = FFS_EV_ENABLE;
    assert_int_equal(submit(0, USB_OUT), 0);
    kernel.overtakes = FFS_EV_BIND;
    complete(0, 31);
    ffs_port_aio_ready(port);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 done0 ");
    assert_int_equal(reqs[0].status, -ESTALE);
}

static void nothing_is_lost_in_a_request_that_comes_back_empty(void **state)
{
    (void)state;
    enable();
    kernel.overtakes = FFS_EV_ENABLE;
    assert_int_equal(submit(0, USB_OUT), 0);
    assert_int_equal(submit(1, USB_IN), -ESHUTDOWN);
    kernel.overtakes = FFS_EV_BIND;
    (void)deferred_run(&deferred);
    complete(0, -ECONNRESET);
    ffs_port_aio_ready(port);
    assert_int_equal(reqs[0].status, -ESHUTDOWN);
}

/* Data to the host are of the configuration before, whenever they went. */
static void nothing_is_lost_in_a_request_to_the_host(void **state)
{
    (void)state;
    enable();
    kernel.overtakes = FFS_EV_ENABLE;
    assert_int_equal(submit(0, USB_IN), 0);
    kernel.overtakes = FFS_EV_BIND;
    (void)deferred_run(&deferred);
    complete(0, 512);
    ffs_port_aio_ready(port);
    assert_int_equal(reqs[0].status, -ESHUTDOWN);
}

/* A configuration that ends takes everything back by itself. */
static void nothing_is_lost_in_a_configuration_that_ends(void **state)
{
    (void)state;
    enable();
    kernel.overtakes = FFS_EV_DISABLE;
    assert_int_equal(submit(0, USB_OUT), 0);
    kernel.overtakes = FFS_EV_BIND;
    (void)deferred_run(&deferred);
    complete(0, 31);
    ffs_port_aio_ready(port);
    assert_int_equal(reqs[0].status, -ESHUTDOWN);
}

static void cancel_begins_with_the_youngest(void **state)
{
    (void)state;
    enable();
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(submit(i, USB_IN), 0);
    usb->ops->cancel(usb);
    assert_int_equal(kernel.cancelled_count, 3);
    assert_ptr_equal(kernel.cancelled[0], kernel.queued[2]);
    assert_ptr_equal(kernel.cancelled[2], kernel.queued[0]);
    assert_int_equal(kernel.flushed, 2);
    assert_string_equal(trace, "");
}

static void an_endpoint_with_requests_is_not_halted(void **state)
{
    (void)state;
    enable();
    assert_int_equal(submit(0, USB_IN), 0);
    assert_int_equal(usb->ops->halt(usb, USB_IN), -EAGAIN);
}

/* ---- events that submit() finds first ---- */

static void a_request_is_refused_when_the_configuration_has_changed_unseen(void **state)
{
    (void)state;
    enable();
    add_event(FFS_EV_ENABLE);
    assert_int_equal(submit(0, USB_IN), -ESHUTDOWN);
    assert_int_equal(kernel.queued_count, 0);
    assert_string_equal(trace, ""); /* not from inside submit() */
    assert_int_equal(deferred_run(&deferred), 1);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 ");
    assert_int_equal(submit(0, USB_IN), 0);
}

static void an_event_found_by_submit_is_told_before_later_ones(void **state)
{
    (void)state;
    enable();
    add_event(FFS_EV_DISABLE);
    add_event(FFS_EV_ENABLE);
    assert_int_equal(submit(0, USB_IN), -ESHUTDOWN);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 ");
    (void)deferred_run(&deferred);
    assert_string_equal(trace, "disabled0 cleared2 enabled512 ");
}

static void other_events_do_not_hold_a_request_up(void **state)
{
    (void)state;
    enable();
    add_setup(0xa1, USB_BOT_GET_MAX_LUN, 0, 1);
    assert_int_equal(submit(0, USB_IN), 0);
    assert_int_equal(submit(1, USB_IN), 0);
    assert_false(kernel.read_in_setup);
    (void)deferred_run(&deferred);
    assert_int_equal(kernel.answered, 1);
}

/* ---- control requests ---- */

static void max_lun_is_answered_before_any_configuration_too(void **state)
{
    (void)state;
    add_setup(0xa1, USB_BOT_GET_MAX_LUN, 0, 1);
    ffs_port_ep0_ready(port);
    assert_int_equal(kernel.answered, 1);
    assert_int_equal(kernel.answer, 3);
}

static void a_reset_is_acknowledged_after_the_protocol_has_acted(void **state)
{
    (void)state;
    enable();
    add_setup(0x21, USB_BOT_RESET, 0, 0);
    ffs_port_ep0_ready(port);
    assert_string_equal(trace, "reset0 ");
    assert_int_equal(kernel.acknowledged, 1);
}

static void ep0_is_not_read_between_a_control_request_and_its_answer(void **state)
{
    (void)state;
    enable();
    submit_in_reset = true;
    add_setup(0x21, USB_BOT_RESET, 0, 0);
    ffs_port_ep0_ready(port);
    assert_false(kernel.read_in_setup);
    assert_int_equal(kernel.acknowledged, 1);
}

static void every_other_control_request_is_stalled(void **state)
{
    (void)state;
    enable();
    add_setup(0x21, USB_BOT_RESET, 1, 0);
    add_setup(0x21, USB_BOT_RESET, 0, 4);
    add_setup(0xa1, USB_BOT_RESET, 0, 0);
    add_setup(0xa1, USB_BOT_GET_MAX_LUN, 0, 2);
    add_setup(0xa1, USB_BOT_GET_MAX_LUN, 1, 1);
    add_setup(0x21, USB_BOT_GET_MAX_LUN, 0, 1);
    add_setup(0xc1, 1, 0, 1);
    ffs_port_ep0_ready(port);
    assert_int_equal(kernel.stalled, 7);
    assert_string_equal(trace, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_taken_before_the_host_configures),
        TEST(the_descriptor_in_use_tells_the_speed),
        TEST(an_enable_that_is_over_already_is_not_told),
        TEST(an_enable_without_disable_is_both),
        TEST(unbind_disables_once),
        TEST(a_disable_also_ends_a_suspend),
        TEST(a_suspend_leaves_the_requests_alone),
        TEST(a_request_goes_to_its_endpoint_with_its_own_buffer),
        TEST(the_last_buffers_of_data_are_told_and_not_those_of_a_wrapper),
        TEST(completions_carry_bytes_or_the_error),
        TEST(requests_of_one_endpoint_complete_in_their_order),
        TEST(a_disabled_endpoint_is_a_shutdown),
        TEST(one_more_than_the_depth_is_refused_until_one_is_done),
        TEST(a_request_of_an_older_configuration_only_gives_its_buffer_back),
        TEST(old_requests_do_not_take_the_place_of_new_ones),
        TEST(an_enable_takes_back_what_slipped_into_the_new_configuration),
        TEST(no_halt_outlives_a_new_configuration),
        TEST(bytes_that_a_new_configuration_lost_are_told),
        TEST(a_new_configuration_is_told_before_what_came_in_since),
        TEST(nothing_is_lost_in_a_request_that_comes_back_empty),
        TEST(nothing_is_lost_in_a_request_to_the_host),
        TEST(nothing_is_lost_in_a_configuration_that_ends),
        TEST(cancel_begins_with_the_youngest),
        TEST(an_endpoint_with_requests_is_not_halted),
        TEST(a_request_is_refused_when_the_configuration_has_changed_unseen),
        TEST(an_event_found_by_submit_is_told_before_later_ones),
        TEST(other_events_do_not_hold_a_request_up),
        TEST(max_lun_is_answered_before_any_configuration_too),
        TEST(a_reset_is_acknowledged_after_the_protocol_has_acted),
        TEST(ep0_is_not_read_between_a_control_request_and_its_answer),
        TEST(every_other_control_request_is_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
