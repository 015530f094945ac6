/* reactor_own -- what reactor.c and reactor_mail.c share, and nobody else. */
#ifndef ND_REACTOR_OWN_H
#define ND_REACTOR_OWN_H

#include "mailbox.h"

/* Pages of mail that nobody will read: what they hold is given back. */
void nd_reactor__dispose(struct nd_page *page);

#endif
