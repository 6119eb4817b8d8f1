//go:build cgo

// Memory with references, and the Arrow C Data Interface over it (https://arrow.apache.org/docs/format/CDataInterface.html).
// In C, because release callbacks may run when neither Python nor Go may: at the end of the process, in a
// thread of somebody else, after a fork.

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"

struct ArrowSchema {
	const char *format;
	const char *name;
	const char *metadata;
	int64_t flags;
	int64_t n_children;
	struct ArrowSchema **children;
	struct ArrowSchema *dictionary;
	void (*release)(struct ArrowSchema *);
	void *private_data;
};

struct ArrowArray {
	int64_t length;
	int64_t null_count;
	int64_t offset;
	int64_t n_buffers;
	int64_t n_children;
	const void **buffers;
	struct ArrowArray **children;
	struct ArrowArray *dictionary;
	void (*release)(struct ArrowArray *);
	void *private_data;
};

// --- memory with references --------------------------------------------------------

#define ALIGN 64

struct header {
	_Atomic int64_t references;
};

static struct header *header_of(void *data) { return (struct header *)((char *)data - ALIGN); }

void *veilsum_alloc(int64_t size) {
	if (size < 0 || size > INT64_MAX - 2 * ALIGN) return NULL;
	size_t all = ((size_t)size + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
	char *memory = aligned_alloc(ALIGN, all);
	if (!memory) return NULL;
	memset(memory, 0, all);
	atomic_init(&((struct header *)memory)->references, 1);
	return memory + ALIGN;
}

void veilsum_free(void *data) {
	if (data && atomic_fetch_sub(&header_of(data)->references, 1) == 1) free(header_of(data));
}

static void retain(void *data, int64_t n) {
	if (data) atomic_fetch_add(&header_of(data)->references, n);
}

// --- Arrow --------------------------------------------------------------------------

// An export has one block for the schema and one for the array, with all structs and texts in it. Each node of the tree
// holds a reference to its block, because a consumer may move a child away and release its parent.

#define NODES(n) (1 + 2 * (n)) // the batch, and for each tensor a list of one row and its values

struct block {
	void *body; // of an array
	size_t used;
};

static void *take(struct block *b, size_t size) {
	void *p = (char *)b + b->used;
	b->used += (size + 7) / 8 * 8;
	return p;
}

static const char *copy(struct block *b, const char *text, size_t size) {
	return text ? memcpy(take(b, size), text, size) : NULL;
}

static struct block *new_block(size_t texts, int64_t n) {
	size_t node = sizeof(struct ArrowSchema) > sizeof(struct ArrowArray) ? sizeof(struct ArrowSchema) : sizeof(struct ArrowArray);
	size_t each = node + 2 * sizeof(void *) + 2 * sizeof(void *) + 64; // struct, its place in the parent, buffers, format
	struct block *b = veilsum_alloc((int64_t)(sizeof(struct block) + (size_t)NODES(n) * each + texts));
	if (!b) return NULL;
	b->used = (sizeof(struct block) + 7) / 8 * 8;
	retain(b, NODES(n) - 1);
	return b;
}

static void release_schema(struct ArrowSchema *s) {
	for (int64_t i = 0; i < s->n_children; i++)
		if (s->children[i]->release) s->children[i]->release(s->children[i]);
	s->release = NULL;
	veilsum_free(s->private_data);
}

static void release_array(struct ArrowArray *a) {
	for (int64_t i = 0; i < a->n_children; i++)
		if (a->children[i]->release) a->children[i]->release(a->children[i]);
	a->release = NULL;
	struct block *b = a->private_data;
	if (a->n_children == 0) veilsum_free(b->body); // each tensor's values hold a reference to the body
	veilsum_free(b);
}

static void fill_schema(struct block *b, struct ArrowSchema *s, const char *format, const char *name, int64_t children) {
	memset(s, 0, sizeof *s);
	s->format = format;
	s->name = name;
	s->n_children = children;
	s->children = children ? take(b, (size_t)children * sizeof(void *)) : NULL;
	for (int64_t i = 0; i < children; i++) s->children[i] = take(b, sizeof(struct ArrowSchema));
	s->release = release_schema;
	s->private_data = b;
}

static void fill_array(struct block *b, struct ArrowArray *a, int64_t length, const void *values, int64_t children) {
	memset(a, 0, sizeof *a);
	a->length = length;
	a->n_buffers = values ? 2 : 1;
	a->buffers = take(b, 2 * sizeof(void *));
	a->buffers[0] = NULL; // no nulls
	a->buffers[1] = values;
	a->n_children = children;
	a->children = children ? take(b, (size_t)children * sizeof(void *)) : NULL;
	for (int64_t i = 0; i < children; i++) a->children[i] = take(b, sizeof(struct ArrowArray));
	a->release = release_array;
	a->private_data = b;
}

static size_t padded(size_t size) { return (size + 7) / 8 * 8; }

int32_t veilsum_arrow(void *body, const veilsum_column *columns, int64_t n, const char *metadata, int64_t metadata_size,
	struct ArrowSchema *schema, struct ArrowArray *array) {
	if (!body || n < 1 || n > 1 << 20 || metadata_size < 0 || metadata_size > 1 << 30) return -1;
	size_t texts = padded((size_t)metadata_size);
	for (int64_t i = 0; i < n; i++) {
		const veilsum_column *c = &columns[i];
		if (!c->name || c->metadata_size < 0 || c->metadata_size > 1 << 30 || (c->width != 4 && c->width != 8)) return -1;
		if (c->values < 0 || c->values > INT64_MAX / 32 || c->offset < 0 || c->offset > INT64_MAX / 32) return -1;
	}
	for (int64_t i = 0; i < n; i++) texts += padded(strlen(columns[i].name) + 1) + padded((size_t)columns[i].metadata_size);
	struct block *s = new_block(texts, n), *a = new_block(0, n);
	if (!s || !a) { // a whole block has all its references still
		if (s) retain(s, 1 - NODES(n)), veilsum_free(s);
		if (a) retain(a, 1 - NODES(n)), veilsum_free(a);
		return -1;
	}
	a->body = body;
	retain(body, n);
	fill_schema(s, schema, "+s", "", n);
	schema->metadata = copy(s, metadata, (size_t)metadata_size);
	fill_array(a, array, 1, NULL, n);
	for (int64_t i = 0; i < n; i++) {
		const veilsum_column *c = &columns[i];
		char *format = take(s, 32);
		snprintf(format, 32, "+w:%lld", (long long)c->values);
		fill_schema(s, schema->children[i], format, copy(s, c->name, strlen(c->name) + 1), 1);
		schema->children[i]->metadata = copy(s, c->metadata, (size_t)c->metadata_size);
		fill_schema(s, schema->children[i]->children[0], c->width == 4 ? "f" : "g", "item", 0);
		fill_array(a, array->children[i], 1, NULL, 1);
		fill_array(a, array->children[i]->children[0], c->values, (char *)body + c->offset, 0);
	}
	return 0;
}

// --- capsules -----------------------------------------------------------------------

// Python hands Arrow's structs over in capsules, whose destructors release what nobody took. The library is not linked
// with Python, which gives it the one function that it needs.

static void *(*capsule_pointer)(void *capsule, const char *name);

void veilsum_capsules(void *(*pointer)(void *capsule, const char *name)) { capsule_pointer = pointer; }

void veilsum_end_schema(void *capsule) {
	struct ArrowSchema *s = capsule_pointer(capsule, "arrow_schema");
	if (s && s->release) s->release(s);
	free(s);
}

void veilsum_end_array(void *capsule) {
	struct ArrowArray *a = capsule_pointer(capsule, "arrow_array");
	if (a && a->release) a->release(a);
	free(a);
}

// veilsum_structs returns memory for the two structs, which the capsules' destructors free.
int32_t veilsum_structs(void **schema, void **array) {
	*schema = calloc(1, sizeof(struct ArrowSchema));
	*array = calloc(1, sizeof(struct ArrowArray));
	return *schema && *array ? 0 : -1;
}
