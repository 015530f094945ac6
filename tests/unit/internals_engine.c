/* A look into a running engine, and memory that fails when it is told to.
 *
 * The linker sends the module's calls of malloc and its kin here. What libc allocates
 * for itself does not pass.
 */
#include <sys/socket.h>
#include <errno.h>
#include <execinfo.h>
#include <stdlib.h>

struct nd_test_conn {
    int state;
    uint64_t pending;
    uint64_t tail_cap;
    uint64_t out_msgs;
    bool is_halted, is_blocked, is_heavy, is_sated;
};

static bool nd_test_conn_look(struct nd_engine *engine, uint64_t cid,
                              struct nd_test_conn *view)
{
    struct nd_reactor *reactor = engine->reactors[cid % engine->reactor_count];
    struct nd_conn *conn = nd_reactor_find(reactor, cid);
    if (conn == NULL) {
        return false;
    }
    *view = (struct nd_test_conn){
        .state = conn->state,
        .pending = conn->out.pending,
        .tail_cap = conn->tail != NULL ? conn->tail->cap : 0,
        .out_msgs = conn->out_msgs,
        .is_halted = conn->is_halted,
        .is_blocked = conn->is_blocked,
        .is_heavy = atomic_load(&conn->gate->heavy),
        .is_sated = conn->is_sated,
    };
    return true;
}

static void nd_test_change(struct nd_engine *engine, const struct nd_options *options,
                           uint32_t version)
{
    struct nd_mail_change mail = {
        .head.kind = ND_MAIL_RECONFIGURE,
        .settings = nd_settings_new(options, version),
        .info = nd_change_print_info("{", 1),
    };
    nd_change_open(engine->reactors[0], &mail);
}

static uint32_t nd_test_unanswered(struct nd_engine *engine)
{
    return atomic_load(&engine->unanswered);
}

static struct nd_event_node *nd_test_events_take(struct nd_engine *engine)
{
    return engine->events.first != NULL ? nd_events_take(&engine->events) : NULL;
}

static void nd_test_event_free(struct nd_event_node *node)
{
    free(node);
}

static const char *nd_test_check(struct nd_engine *engine)
{
    const char *wrong = nd_sublist_check(engine->index);
    uint64_t last = atomic_load(&engine->last_cid);
    for (uint64_t cid = 1; cid <= last && wrong == NULL; cid++) {
        struct nd_reactor *reactor = engine->reactors[cid % engine->reactor_count];
        struct nd_conn *conn = nd_reactor_find(reactor, cid);
        wrong = conn != NULL ? nd_outbuf_check(&conn->out) : NULL;
    }
    return wrong;
}

/* ---- memory ---- */

static struct {
    _Atomic int64_t calls, live, nth;
    bool is_lasting;
    void *where[32];
    int depth;
} memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);

static bool is_refused(void)
{
    int64_t call = atomic_fetch_add(&memory.calls, 1) + 1;
    int64_t nth = atomic_load(&memory.nth);
    if (nth == 0 || call < nth || (call > nth && !memory.is_lasting)) {
        return false;
    }
    memory.depth = backtrace(memory.where, 32);
    return true;
}

static void *counted(void *block)
{
    atomic_fetch_add(&memory.live, block != NULL);
    return block;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (is_refused()) {
        return NULL;
    }
    void *moved = __real_realloc(block, size);
    return block == NULL ? counted(moved) : moved;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_refused() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    int rc = is_refused() ? ENOMEM : __real_posix_memalign(block, alignment, size);
    atomic_fetch_add(&memory.live, rc == 0);
    return rc;
}

void __wrap_free(void *block)
{
    atomic_fetch_sub(&memory.live, block != NULL);
    __real_free(block);
}

static void nd_test_alloc_fail(int64_t nth, bool is_lasting)
{
    atomic_store(&memory.calls, 0);
    memory.is_lasting = is_lasting;
    memory.depth = 0;
    atomic_store(&memory.nth, nth);
}

static int64_t nd_test_alloc_calls(void)
{
    return atomic_load(&memory.calls);
}

static int64_t nd_test_alloc_live(void)
{
    return atomic_load(&memory.live);
}

static void nd_test_alloc_show(void)
{
    backtrace_symbols_fd(memory.where, memory.depth, 2);
}

/* ---- accepting that fails ---- */

static struct {
    _Atomic int error, times;
} accepting;

int __real_accept4(int listener, struct sockaddr *address, socklen_t *len, int flags);

int __wrap_accept4(int listener, struct sockaddr *address, socklen_t *len, int flags)
{
    if (atomic_load(&accepting.times) > 0) {
        atomic_fetch_sub(&accepting.times, 1);
        errno = atomic_load(&accepting.error);
        return -1;
    }
    return __real_accept4(listener, address, len, flags);
}

static void nd_test_accept_fail(int error, int times)
{
    atomic_store(&accepting.error, error);
    atomic_store(&accepting.times, times);
}
