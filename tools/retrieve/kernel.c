/* The search of scoring.Searcher for many queries at once: the very same rows and scores (see kernel.py).

   Samples are taken in blocks of equal length, so that all that hold a word once get the same for it. In a block, the
   parts of a query of which a sample must hold one to be among the best tell which samples are scored (hot); then the
   lists of all words are run through, and what they add to these is summed in float64, word after word. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096 /* samples whose sums stay in the nearest cache */

typedef struct { /* Postings of segment.py */
    const int64_t *starts, *firsts, *places;
    const uint16_t *gaps;
    const int32_t *rows;
} postings_t;

typedef struct {
    int64_t samples, longest, k;
    const int64_t *ends;  /* by length: samples not longer */
    const int32_t *ranks; /* by sample: place of its id */
    postings_t light, heavy;
    const int32_t *times; /* beside the rows of heavy */
    const double *most, *norms;
    const uint8_t *allowed; /* by sample, or NULL */
} segment_t;

typedef struct { /* the samples that hold a word once, or more than once, and how far they were read */
    int64_t size, word, heavy, at, row, first;
    const uint16_t *gaps; /* NULL: rows */
    const int32_t *rows, *times;
    double weight, *caps;
} part_t;

typedef struct { /* the worst first */
    int32_t *rows;
    double *scores;
    int64_t size;
} heap_t;

typedef struct {
    uint8_t hot[BLOCK];
    double sums[BLOCK];
    int32_t chosen[BLOCK];
    int64_t count;
} block_t;

static double round_score(double score) { return rint(score * 1e9) / 1e9; }

static int is_worse(const int32_t *ranks, int32_t row, double score, int32_t other, double than) {
    return score < than || (score == than && ranks[row] > ranks[other]);
}

static void sink(heap_t *heap, const int32_t *ranks, int64_t size, int32_t row, double score) {
    int64_t at = 0;
    while (2 * at + 1 < size) {
        int64_t below = 2 * at + 1, other = below + 1;
        if (other < size && is_worse(ranks, heap->rows[other], heap->scores[other], heap->rows[below], heap->scores[below]))
            below = other;
        if (!is_worse(ranks, heap->rows[below], heap->scores[below], row, score)) break;
        heap->rows[at] = heap->rows[below], heap->scores[at] = heap->scores[below];
        at = below;
    }
    heap->rows[at] = row, heap->scores[at] = score;
}

static void rise(heap_t *heap, const int32_t *ranks, int32_t row, double score) {
    int64_t at = heap->size++;
    while (at > 0) {
        int64_t above = (at - 1) / 2;
        if (!is_worse(ranks, row, score, heap->rows[above], heap->scores[above])) break;
        heap->rows[at] = heap->rows[above], heap->scores[at] = heap->scores[above];
        at = above;
    }
    heap->rows[at] = row, heap->scores[at] = score;
}

static void sort_heap(heap_t *heap, const int32_t *ranks) {
    for (int64_t left = heap->size - 1; left > 0; left--) {
        int32_t row = heap->rows[left];
        double score = heap->scores[left];
        heap->rows[left] = heap->rows[0], heap->scores[left] = heap->scores[0];
        sink(heap, ranks, left, row, score);
    }
}

static int64_t step(const part_t *part, int64_t at, int64_t row) {
    return part->gaps ? row + part->gaps[at] : part->rows[at];
}

/* Mark the samples of a block that a part holds; the part stays where it is. */
static void choose(const part_t *part, int64_t start, int64_t stop, block_t *block) {
    int64_t at = part->at, row = part->row;
    while (at < part->size && row < stop) {
        if (row >= start && !block->hot[row - start]) {
            block->hot[row - start] = 1;
            block->chosen[block->count++] = (int32_t)(row - start);
        }
        if (++at < part->size) row = step(part, at, row);
    }
}

/* Add what a word adds to the chosen samples of a block, and move the part behind the block. */
static void add_up(part_t *part, double norm, int64_t start, int64_t stop, block_t *block) {
    int64_t at = part->at, row = part->row, size = part->size;
    double once = part->weight / (1.0 + norm);
    if (part->gaps && !part->heavy) {
        while (at < size && row < start)
            if (++at < size) row += part->gaps[at];
        while (at < size && row < stop) {
            if (block->hot[row - start]) block->sums[row - start] += once;
            if (++at < size) row += part->gaps[at];
        }
    } else {
        while (at < size && row < stop) {
            if (row >= start && block->hot[row - start]) {
                double times = part->heavy ? part->times[at] : 1.0;
                block->sums[row - start] += part->heavy ? part->weight * times / (times + norm) : once;
            }
            if (++at < size) row = step(part, at, row);
        }
    }
    part->at = at, part->row = row;
}

/* Put the chosen samples that are good enough into the heap, and clear the block. */
static void keep(const segment_t *s, int64_t start, double floor, block_t *block, heap_t *heap) {
    for (int64_t number = 0; number < block->count; number++) {
        int32_t at = block->chosen[number], row = (int32_t)(start + at);
        double score = round_score(block->sums[at]);
        block->hot[at] = 0, block->sums[at] = 0.0;
        if (score < floor || (s->allowed && !s->allowed[row])) continue;
        if (heap->size < s->k)
            rise(heap, s->ranks, row, score);
        else if (is_worse(s->ranks, heap->rows[0], heap->scores[0], row, score))
            sink(heap, s->ranks, heap->size, row, score);
    }
    block->count = 0;
}

/* The parts of a query, word after word. */
static int64_t list_parts(const segment_t *s, int64_t count, const int64_t *words, const double *weights, part_t *parts) {
    int64_t found = 0;
    for (int64_t number = 0; number < count; number++)
        for (int64_t heavy = 0; heavy < 2; heavy++) {
            const postings_t *held = heavy ? &s->heavy : &s->light;
            int64_t word = words[number], start = held->starts[word], place = held->places[word];
            part_t *part = &parts[found];
            part->size = held->starts[word + 1] - start;
            if (!part->size) continue;
            int near = held->firsts[word] >= 0;
            part->word = number, part->heavy = heavy, part->at = 0, part->weight = weights[number];
            part->gaps = near ? held->gaps + place : NULL;
            part->rows = held->rows + (near ? 0 : place);
            part->times = s->times + (heavy ? start : 0);
            part->row = part->first = near ? held->firsts[word] : part->rows[0];
            found++;
        }
    return found;
}

static int compare_sizes(const void *one, const void *other) {
    const part_t *a = *(part_t *const *)one, *b = *(part_t *const *)other;
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* By part and length: what a sample can score at most that this part is the first to hold. later: [words + 1, lengths]. */
static void cap_parts(const segment_t *s, int64_t found, part_t **sorted, const int64_t *words, int64_t count, double *later) {
    int64_t lengths = s->longest + 1;
    double *others = later + count * lengths;
    for (int64_t place = found - 1; place >= 0; place--) {
        part_t *part = sorted[place];
        double times = part->heavy ? s->most[words[part->word]] : 1.0, *before = later + part->word * lengths;
        for (int64_t length = 0; length < lengths; length++) {
            double own = part->weight * times / (times + s->norms[length]), most = own > before[length] ? own : before[length];
            part->caps[length] = round_score(own + others[length] - before[length] + 1e-12);
            others[length] += most - before[length];
            before[length] = most;
        }
    }
}

/* What the k-th best scores at least: what a part adds to the k-th sample that holds it; the ones before are shorter. */
static double find_floor(const segment_t *s, int64_t found, const part_t *parts) {
    double floor = 0.0;
    for (const part_t *part = parts; part < parts + found; part++) {
        if (part->size < s->k) continue;
        int64_t row = part->first, length = 0;
        for (int64_t at = 1; at < s->k; at++) row = step(part, at, row);
        while (s->ends[length] <= row) length++;
        double times = part->heavy ? 2.0 : 1.0, least = part->weight * times / (times + s->norms[length]) - 2e-9;
        if (least > floor) floor = least;
    }
    return floor;
}

static void run(const segment_t *s, int64_t found, part_t *parts, part_t **sorted, double floor, block_t *block, heap_t *heap) {
    int64_t start = 0;
    for (int64_t length = 0; length <= s->longest; length++)
        while (start < s->ends[length]) {
            int64_t needed = found, stop = start + BLOCK < s->ends[length] ? start + BLOCK : s->ends[length];
            while (needed && sorted[needed - 1]->caps[length] < floor) needed--;
            if (!needed) return;
            for (int64_t place = 0; place < needed; place++) choose(sorted[place], start, stop, block);
            if (block->count) {
                for (part_t *part = parts; part < parts + found; part++)
                    if (part->row < stop) add_up(part, s->norms[length], start, stop, block);
                keep(s, start, floor, block, heap);
                if (heap->size == s->k && heap->scores[0] > floor) floor = heap->scores[0];
            }
            start = stop;
        }
}

/* Fills rows and scores [queries, k] and sizes [queries]; words and weights of query i are from cuts[i] to cuts[i + 1].
   Returns 0, or 1 when there is no memory. */
int search(const segment_t *s, int64_t queries, const int64_t *cuts, const int64_t *words, const double *weights,
           const double *floors, int32_t *rows, double *scores, int64_t *sizes) {
    int64_t widest = 1, lengths = s->longest + 1;
    for (int64_t query = 0; query < queries; query++)
        if (cuts[query + 1] - cuts[query] > widest) widest = cuts[query + 1] - cuts[query];
    block_t *block = calloc(1, sizeof(block_t));
    part_t *parts = malloc(2 * widest * sizeof(part_t)), **sorted = malloc(2 * widest * sizeof(part_t *));
    double *caps = malloc(2 * widest * lengths * sizeof(double)), *later = malloc((widest + 1) * lengths * sizeof(double));
    int failed = !block || !parts || !sorted || !caps || !later;
    for (int64_t query = 0; query < queries && !failed; query++) {
        int64_t count = cuts[query + 1] - cuts[query];
        int64_t found = list_parts(s, count, words + cuts[query], weights + cuts[query], parts);
        for (int64_t place = 0; place < found; place++) sorted[place] = parts + place, parts[place].caps = caps + place * lengths;
        qsort(sorted, found, sizeof(part_t *), compare_sizes);
        memset(later, 0, (count + 1) * lengths * sizeof(double));
        cap_parts(s, found, sorted, words + cuts[query], count, later);
        double floor = s->allowed ? 0.0 : find_floor(s, found, parts);
        if (floors[query] > floor) floor = floors[query];
        heap_t heap = {rows + query * s->k, scores + query * s->k, 0};
        run(s, found, parts, sorted, floor > 1e-9 ? floor : 1e-9, block, &heap);
        sort_heap(&heap, s->ranks);
        sizes[query] = heap.size;
    }
    free(block), free(parts), free(sorted), free(caps), free(later);
    return failed;
}
