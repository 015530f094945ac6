/* Permissions, as the tests see them. */

void nd_permits_retain(struct nd_permits *permits);
uint64_t nd_permits_id(const struct nd_permits *permits);
struct nd_slice nd_permits_name(const struct nd_permits *permits);
bool nd_permits_may_publish(const struct nd_permits *permits, struct nd_slice subject);
bool nd_permits_may_subscribe(const struct nd_permits *permits, struct nd_slice subject,
                              struct nd_slice queue);
bool nd_permits_must_filter(const struct nd_permits *permits, struct nd_slice subject,
                            struct nd_slice queue);
bool nd_permits_may_receive(const struct nd_permits *permits, struct nd_slice subject,
                            struct nd_slice queue);
bool nd_permits_subscribe_alike(const struct nd_permits *a, const struct nd_permits *b);
bool nd_permits_filter_alike(const struct nd_permits *a, const struct nd_permits *b);
