/* sys -- the operating system, in the few words that the engine uses.
 *
 * Calls return 0 or more on success and -errno on failure, so that no errno is read
 * outside sys_posix.c. ND_AGAIN is the "not now" of non-blocking descriptors.
 */
#ifndef ND_SYS_H
#define ND_SYS_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "nd.h"

enum { ND_AGAIN = -11, ND_ADDRESS_SIZE = 64 };

uint64_t nd_sys_now_ms(void); /* monotonic */
uint64_t nd_sys_now_us(void); /* the same clock */
void nd_sys_yield(void);      /* the processor, to another thread that wants it */
int nd_sys_random(void *to, size_t len);
int nd_sys_pid(void);

/* ---- a lock that is held for a few steps only, and one for many readers ---- */

typedef pthread_mutex_t nd_mutex;
typedef pthread_cond_t nd_cond;
typedef pthread_rwlock_t nd_rwlock;

int nd_mutex_init(nd_mutex *mutex);
void nd_mutex_fini(nd_mutex *mutex);
void nd_mutex_lock(nd_mutex *mutex);
void nd_mutex_unlock(nd_mutex *mutex);
int nd_cond_init(nd_cond *cond);
void nd_cond_fini(nd_cond *cond);
void nd_cond_wait(nd_cond *cond, nd_mutex *mutex);
void nd_cond_signal(nd_cond *cond);
int nd_rwlock_init(nd_rwlock *lock); /* writers are preferred */
void nd_rwlock_fini(nd_rwlock *lock);
void nd_rwlock_read(nd_rwlock *lock);
void nd_rwlock_write(nd_rwlock *lock);
void nd_rwlock_unlock(nd_rwlock *lock);

/* ---- sockets ---- */

/* A descriptor, prepared as below, or -errno. */
int nd_sys_accept(int listener);
bool nd_sys_is_shortage(int rc);   /* of descriptors or memory: try again later */
int nd_sys_prepare_socket(int fd); /* non-blocking, without Nagle where it has it */

/* The peer, as "1.2.3.4:5678" or "::1:5678"; returns the length of the address part.
 * A peer without an address (a Unix socket) is ":0". */
size_t nd_sys_peer(int fd, char text[ND_ADDRESS_SIZE]);

int64_t nd_sys_read(int fd, void *to, size_t len);
int64_t nd_sys_writev(int fd, const struct iovec *iov, int count);
int64_t
nd_sys_unsent(int fd); /* bytes the kernel still holds for the peer, or -errno */
void nd_sys_shutdown_write(int fd);
void nd_sys_close(int fd);

/* ---- the bell: wakes a reactor that sleeps in its poller ---- */

struct nd_bell {
    int read_fd, write_fd; /* the same where the system has eventfd */
};

int nd_bell_init(struct nd_bell *bell);
void nd_bell_fini(struct nd_bell *bell);
void nd_bell_ring(const struct nd_bell *bell);
void nd_bell_clear(const struct nd_bell *bell);

#endif
