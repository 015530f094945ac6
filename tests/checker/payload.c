/* payload -- messages whose every byte follows from seed, publisher and sequence. */
#include "checker.h"

#include <string.h>

enum { MAGIC = 0x4e444348, OFFSETS = 65536 };

struct header {
    uint32_t magic, pub;
    uint64_t seq, sent_ns;
    uint32_t size, check; /* check: over the fields above and the seed */
};

_Static_assert(sizeof(struct header) == PAYLOAD_MIN, "the header has no padding");

static uint64_t run_seed;
static uint8_t noise[PAYLOAD_MAX + OFFSETS];

static uint64_t mix(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9U;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebU;
    return word ^ (word >> 31);
}

uint64_t payload_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15U;
    return mix(*state);
}

void payload_init(uint64_t seed)
{
    uint64_t state = seed;
    run_seed = seed;
    for (size_t i = 0; i < sizeof noise; i += sizeof state) {
        uint64_t word = payload_random(&state);
        memcpy(noise + i, &word, sizeof word);
    }
}

static uint64_t draw(uint32_t pub, uint64_t seq)
{
    return mix(mix(run_seed ^ ((uint64_t)pub << 40)) + seq * 0x9e3779b97f4a7c15U);
}

uint32_t payload_size(uint32_t pub, uint64_t seq)
{
    uint64_t word = draw(pub, seq);
    uint32_t share = (uint32_t)(word % 1000), most;
    most = share < 900 ? 256 : share < 999 ? 16 * 1024 : PAYLOAD_MAX;
    return PAYLOAD_MIN + (uint32_t)((word >> 16) % (most - PAYLOAD_MIN + 1));
}

static const uint8_t *body(uint32_t pub, uint64_t seq)
{
    return noise + (draw(pub, seq) >> 44) % OFFSETS;
}

static uint32_t header_check(const struct header *header)
{
    uint64_t sum = mix(run_seed ^ header->magic ^ ((uint64_t)header->pub << 32));
    sum = mix(sum + header->seq);
    sum = mix(sum + header->sent_ns);
    return (uint32_t)mix(sum + header->size);
}

void payload_write(uint8_t *to, uint32_t pub, uint64_t seq, uint64_t sent_ns)
{
    struct header header = {MAGIC, pub, seq, sent_ns, payload_size(pub, seq), 0};
    header.check = header_check(&header);
    memcpy(to, &header, sizeof header);
    memcpy(to + sizeof header, body(pub, seq), header.size - sizeof header);
}

bool payload_read(const uint8_t *from, size_t len, struct payload_facts *facts)
{
    struct header header;
    if (len < sizeof header)
        return false;
    memcpy(&header, from, sizeof header);
    if (header.magic != MAGIC || header.check != header_check(&header))
        return false;
    *facts = (struct payload_facts){header.pub, header.seq, header.sent_ns};
    return header.size == len && len == payload_size(header.pub, header.seq) &&
           memcmp(from + sizeof header, body(header.pub, header.seq),
                  len - sizeof header) == 0;
}
