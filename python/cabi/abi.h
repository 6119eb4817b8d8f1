// The C interface of libveilsum, version 1. All functions may be called from any thread, but not in a process that was
// forked after the library was loaded.
#ifndef VEILSUM_ABI_H
#define VEILSUM_ABI_H

#include <stdint.h>

// A buffer of the caller's, lent for one call.
typedef struct {
	const void *data;
	int64_t size; // bytes
} veilsum_view;

// What a call answers. Both buffers are the caller's, to be freed with veilsum_free, whatever the status.
typedef struct {
	int32_t status;     // 0, or the exit status that the program "veilsum" would end with
	void *text;         // JSON, UTF-8, not terminated by a zero
	int64_t text_size;  // bytes
	void *body;         // NULL if there is none
	int64_t body_size;  // bytes
} veilsum_answer;

// A tensor in a body.
typedef struct {
	const char *name;      // ends with a zero
	const char *metadata;  // of the column, in Arrow's own form
	int64_t metadata_size; // bytes
	int64_t offset;        // of the values, bytes
	int64_t values;
	int32_t width; // 4 for float32, 8 for float64
} veilsum_column;

// int32_t veilsum_call(const char *method, const veilsum_view *in, int32_t n, veilsum_answer *out):
// runs one method. in[0] is the request, JSON; the others are buffers. Returns out->status.

// veilsum_alloc returns memory at a multiple of 64 bytes with one reference, filled with zeros; NULL if there is none.
void *veilsum_alloc(int64_t size);

// veilsum_free gives one reference back; the last one frees the memory. NULL is fine.
void veilsum_free(void *data);

struct ArrowSchema;
struct ArrowArray;

// veilsum_arrow describes a body as an Arrow record batch of one row with a column for each tensor, of the extension type
// arrow.fixed_shape_tensor, without copying its values: the array holds a reference to the body. metadata is in
// Arrow's own form, or NULL. Returns 0, or -1 if there is no memory or a column makes no sense; whether the columns lie inside the body is the caller's word.
int32_t veilsum_arrow(void *body, const veilsum_column *columns, int64_t n, const char *metadata, int64_t metadata_size,
	struct ArrowSchema *schema, struct ArrowArray *array);

// veilsum_capsules takes Python's PyCapsule_GetPointer, which the destructors below need.
void veilsum_capsules(void *(*pointer)(void *capsule, const char *name));

// veilsum_structs returns zeroed memory for veilsum_arrow. It belongs to two capsules, "arrow_schema" and "arrow_array",
// with the destructors veilsum_end_schema and veilsum_end_array. Returns 0, or -1 if there is no memory.
int32_t veilsum_structs(void **schema, void **array);
void veilsum_end_schema(void *capsule);
void veilsum_end_array(void *capsule);

#endif
