#include "memo.h"

const struct nd_memo_entry *nd_memo_find(const struct nd_memo *memo,
                                         const struct nd_hash_key *key,
                                         struct nd_slice text)
{
    uint64_t hash = nd_hash_bytes(key, text);
    for (uint32_t i = 0; i < ND_MEMO_ENTRIES; i++) {
        const struct nd_memo_entry *entry = &memo->entries[i];
        if (entry->text != NULL && entry->hash == hash &&
            nd_slice_is_equal(nd_blob_slice(entry->text), text)) {
            return entry;
        }
    }
    return NULL;
}

static void clear(struct nd_memo_entry *entry)
{
    if (entry->text != NULL) {
        nd_blob_release(entry->text);
        nd_blob_release(entry->note);
        nd_permits_release(entry->rights.permits);
        entry->text = NULL;
    }
}

void nd_memo_put(struct nd_memo *memo, const struct nd_hash_key *key,
                 struct nd_slice text, struct nd_blob *note, uint32_t options,
                 struct nd_rights rights)
{
    struct nd_memo_entry *entry = &memo->entries[memo->next % ND_MEMO_ENTRIES];
    if (text.len > ND_MEMO_TEXT || nd_memo_find(memo, key, text) != NULL) {
        return;
    }
    struct nd_blob *copy = nd_blob_copy(text);
    if (copy == NULL) {
        return;
    }
    clear(entry);
    nd_blob_retain(note);
    nd_permits_retain(rights.permits);
    *entry =
        (struct nd_memo_entry){nd_hash_bytes(key, text), copy, note, options, rights};
    memo->next++;
}

void nd_memo_fini(struct nd_memo *memo)
{
    for (uint32_t i = 0; i < ND_MEMO_ENTRIES; i++) {
        clear(&memo->entries[i]);
    }
}
