/* Graft's whole native interface.
 *
 * Java describes, native compiles, one call per step: a graph of records and a parameter store are compiled, for what is
 * trainable, into a plan; a session runs the plan on a workspace. Only opaque handles, numbers, text and sized buffers cross.
 *
 * Every function that can fail returns a graft_status; the message of the calling thread's last failure is
 * graft_last_error(). Handles are freed by their close function, children before parents (a plan keeps what it needs of
 * its device and parameters alive, so the order cannot break memory). Text results are JSON; a text function writes at
 * most `capacity` bytes with the final zero and always tells the bytes needed.
 *
 * Layouts: activations NHWC, convolution weights OHWI, row-major. All sizes are elements unless called bytes.
 */
#ifndef GRAFT_H
#define GRAFT_H

#include <stddef.h>
#include <stdint.h>

#define GRAFT_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* Status of a call. */
#define GRAFT_OK 0
#define GRAFT_INVALID_ARGUMENT 1 /* the caller's fault: message names the thing, the expected and the actual */
#define GRAFT_OUT_OF_MEMORY 2    /* refused before allocation, or the system refused */
#define GRAFT_UNAVAILABLE 3      /* no such column, device, driver, library or file */
#define GRAFT_INTERNAL 4         /* a defect of this library */

/* Element types. Sources in files may be any of the float types; parameters are F32. */
#define GRAFT_F32 0
#define GRAFT_BF16 1
#define GRAFT_F64 2
#define GRAFT_I32 3
#define GRAFT_U8 4
#define GRAFT_I64 5
#define GRAFT_F16 6

/* What one run does: a bit set. GRAFT_STEP is one training step. */
#define GRAFT_FORWARD 1
#define GRAFT_GRADIENTS 2
#define GRAFT_UPDATE 4
#define GRAFT_STEP 7

typedef struct graft_device graft_device;
typedef struct graft_params graft_params;
typedef struct graft_graph graft_graph;
typedef struct graft_plan graft_plan;
typedef struct graft_workspace graft_workspace;
typedef struct graft_session graft_session;

/* Build identity, VERSION+HASH of the native sources, compared by the binding at load time so that a jar and a library of
 * different builds refuse each other. */
GRAFT_API const char *graft_version(void);
/* One line about the calling thread's last failed call; valid until its next call. */
GRAFT_API const char *graft_last_error(void);
/* Calls of this interface by the calling thread so far that can fail: what a step costs a caller. */
GRAFT_API int64_t graft_calls(void);

/* Opens a column ("cpu", "cuda" or "cuda:N" for the GPU that CUDA counts as N, or "reference") with `lanes` teams of `threads` threads
 * each; a lane runs one plan at a time. A GPU needs libgraft_cuda.so beside this library; where it, a driver or the GPU is missing the
 * status is GRAFT_UNAVAILABLE, where it has no room GRAFT_OUT_OF_MEMORY, and the message says why in one line. */
GRAFT_API int32_t graft_device_open(const char *column, int32_t threads, int32_t lanes, graft_device **out);
/* Whether a column could be opened: the status and message of opening it, as far as they are known without taking memory. */
GRAFT_API int32_t graft_device_check(const char *column);
/* How a GPU makes matrix products, where a plan's own option does not say; what is not told here the environment says. Before the first
 * plan or direct call; the CPU takes and ignores it. `key` and `value`:
 *   matmul own|vendor|auto                  own kernels; cuBLASLt, an error where there is none; auto: cuBLASLt where it is found, and
 *                                           own kernels that passed their checks on such a GPU (else GRAFT_MATMUL, auto)
 *   f32_products exact|tf32|bf16x3|bf16x6   what F32 products of plans may be made of (else GRAFT_F32_PRODUCTS, exact)
 *   tuning PATH                             the file that choices by measuring are kept in (else GRAFT_TUNING, none) */
GRAFT_API int32_t graft_device_choose(graft_device *device, const char *key, const char *value);
/* JSON: why CUDA cannot be used ("reason", else empty), versions of runtime and driver, and per GPU name, capability, memory_mb, reason. */
GRAFT_API int32_t graft_cuda_describe(char *text, int64_t capacity, int64_t *needed);
GRAFT_API void graft_device_close(graft_device *device);
/* JSON: column, threads, lanes, instruction set, bf16 support, library versions, bytes held. */
GRAFT_API int32_t graft_device_describe(graft_device *device, char *text, int64_t capacity, int64_t *needed);

/* A store of named F32 parameters, all forms of each, and the optimizer's state. Safe for concurrent readers. */
GRAFT_API int32_t graft_params_create(graft_device *device, graft_params **out);
GRAFT_API void graft_params_close(graft_params *params);
/* Declares `name`; `buffer` is 1 for statistics that no optimizer touches; origin is "checkpoint", "head" or "method". */
GRAFT_API int32_t graft_params_declare(graft_params *params, const char *name, int32_t rank, const int64_t *dims,
                                       int32_t buffer, const char *origin);
/* Forgets `name` and frees its bytes. Fails where an open plan reads or trains it. */
GRAFT_API int32_t graft_params_remove(graft_params *params, const char *name);
/* Binds `name` to bytes of a file, read when a plan needs a form of it. `order[i]` is the file axis that becomes axis i. */
GRAFT_API int32_t graft_params_source_file(graft_params *params, const char *name, const char *path, int64_t offset,
                                           int32_t dtype, int32_t rank, const int64_t *file_dims, const int32_t *order);
GRAFT_API int32_t graft_params_write(graft_params *params, const char *name, const float *values, int64_t count);
GRAFT_API int32_t graft_params_read(graft_params *params, const char *name, float *values, int64_t count);
/* Optimizer state `which` (0 first moment or momentum, 1 second moment, GRAFT_AVERAGE the moving average of the weights) of `name`, all of
 * its elements; rows that do not train read as zero, of the average as their weights, and are ignored when written. Fails where no
 * plan trains the parameter, or none that is still there keeps such a state. */
#define GRAFT_AVERAGE 2
GRAFT_API int32_t graft_params_read_moment(graft_params *params, const char *name, int32_t which, float *values, int64_t count);
GRAFT_API int32_t graft_params_write_moment(graft_params *params, const char *name, int32_t which, const float *values, int64_t count);
/* JSON: per parameter dims, origin, where its bytes are; per form its kind and bytes. */
GRAFT_API int32_t graft_params_describe(graft_params *params, char *text, int64_t capacity, int64_t *needed);

/* A graph under construction: values are numbered in order of creation. */
GRAFT_API int32_t graft_graph_create(graft_graph **out);
GRAFT_API void graft_graph_close(graft_graph *graph);
GRAFT_API int32_t graft_graph_input(graft_graph *graph, const char *name, int32_t dtype, int32_t rank, const int64_t *dims,
                                    int32_t *value);
GRAFT_API int32_t graft_graph_parameter(graft_graph *graph, const char *name, int32_t rank, const int64_t *dims, int32_t *value);
/* Adds a node. `attributes` is "key=number,key=number"; unknown operations and attributes are errors that list the known. */
GRAFT_API int32_t graft_graph_node(graft_graph *graph, const char *op, const char *name, const int32_t *inputs, int32_t count,
                                   const char *attributes, int32_t *value);
/* Gives a value a public name; it stays readable after a run. */
GRAFT_API int32_t graft_graph_output(graft_graph *graph, const char *name, int32_t value);
/* Dims of a value (at most 8). */
GRAFT_API int32_t graft_graph_dims(graft_graph *graph, int32_t value, int32_t *rank, int64_t *dims);

/* Compiles. `options` is lines of text:
 *   mode train|eval            precision f32|bf16          batch N
 *   fold 0|1                   fuse 0|1                    accumulate 0|1
 *   signs 0|1                  results that backward reads for their activation's sign alone are kept as a bit an element (1)
 *   optimizer sgd|adam|adamw momentum=,nesterov=,beta1=,beta2=,eps=,clip=,anchor=,watch=,average=
 *   groups N                   groups whose rates are set per step
 *   train GROUP NAME           trains NAME in group
 *   rows NAME A B              only rows A..B-1 of NAME train (repeatable, ascending)
 *   mask NAME PATH             bit mask per element, little-endian bits in a file, 1 = live
 *   track NAME                 the batch norm that owns buffer NAME normalises by its batch and updates NAME
 *   keep NAME                  keeps a node's result readable after a run
 *   resident NAME              input NAME lies in memory of the session: written once (in parts, graft_session_write_part) for many runs;
 *                              its first dimension is any
 *   limit BYTES                refuses plans above this instead of the machine's own limit
 *   matmul, f32_products, tuning   as for graft_device_choose, for this plan
 */
GRAFT_API int32_t graft_plan_compile(graft_device *device, graft_graph *graph, graft_params *params, const char *options,
                                     graft_plan **out);
GRAFT_API void graft_plan_close(graft_plan *plan);
/* GRAFT_F32 or GRAFT_BF16: what the plan computes in. It is F32 although bf16 was asked for where the processor has none. */
GRAFT_API int32_t graft_plan_precision(graft_plan *plan, int32_t *precision);
/* JSON: every step with node, pass, kernel, operands, bytes; `not_kept` of a backward step are the activations that it would need if
 * no parameter were frozen, and that nobody keeps. */
GRAFT_API int32_t graft_plan_describe(graft_plan *plan, char *text, int64_t capacity, int64_t *needed);
/* JSON: bytes per group. */
GRAFT_API int32_t graft_plan_memory(graft_plan *plan, char *text, int64_t capacity, int64_t *needed);

/* Memory that plans run in; it grows to the largest plan bound to it. Plans of one workspace never run at the same time. */
GRAFT_API int32_t graft_workspace_create(graft_device *device, graft_workspace **out);
GRAFT_API void graft_workspace_close(graft_workspace *workspace);

/* A plan bound to a workspace, with its step block. One thread at a time. */
GRAFT_API int32_t graft_session_create(graft_plan *plan, graft_workspace *workspace, graft_session **out);
GRAFT_API void graft_session_close(graft_session *session);
/* Copies an input; `address` is host memory of `bytes` bytes in the input's own type. */
GRAFT_API int32_t graft_session_write(graft_session *session, const char *input, int64_t address, int64_t bytes);
/* Copies a part of a resident input, from byte `offset` of it on. */
GRAFT_API int32_t graft_session_write_part(graft_session *session, const char *input, int64_t offset, int64_t address, int64_t bytes);
/* Memory of the host that belongs to the session, its part `name` of the step block: what differs from run to run and what the last run
 * came to. It may be read and written while no call of the session is running, until the session is closed. Read by every run:
 *   rate, decay, anchor   float per group        loss_weight   float per loss, at first 1
 *   valid_rows            int32: the first so many rows of the batch count; row_weight of the others must be 0
 *   row_weight, row_id    float, at first 1, and int64, at first the row's number, per row of the batch
 *   seed, visit           uint64, int32          clip          float, 0 = no limit
 *   normalizer            float: rows that the mean is over; 0 = this run's own
 * Left by a run: loss and correct (float per loss), gradient_norm (float, before clipping), host_seconds (double: what the calling thread
 * did but wait for a GPU) and, with the optimizer's setting watch=1,
 * update_norms (two doubles a trainable in the order of the train lines: sums of squares of the last update and of the weight). */
GRAFT_API int32_t graft_session_numbers(graft_session *session, const char *name, void **address, int64_t *bytes);
/* Says how many updates were made so far (Adam's bias correction), for all plans of the parameters. */
GRAFT_API int32_t graft_session_updates(graft_session *session, int64_t count);
/* Runs phases (bit set). Returns when done. Where a loss of the run is not finite, its update is left out. Takes inputs of the next run (on
 * a GPU while this one runs) from `count` addresses of host memory; `inputs` names one a line, an address of 0 leaves its input as
 * it is. Where a loss is not finite they are not taken. One call is a whole step. */
GRAFT_API int32_t graft_session_turn(graft_session *session, int32_t phases, const char *inputs, const int64_t *addresses, const int64_t *bytes,
                                     int32_t count);
/* Reads an output, a kept value, "gradient:NAME" of a trainable or of a kept value, as F32 (I32 for integer values). */
GRAFT_API int32_t graft_session_read(graft_session *session, const char *name, int64_t address, int64_t bytes);
GRAFT_API int32_t graft_session_size(graft_session *session, const char *name, int64_t *count);
/* Runs once more step by step and names the first value with a NaN or infinity: "" where all are finite. */
GRAFT_API int32_t graft_session_find_nonfinite(graft_session *session, int32_t phases, char *text, int64_t capacity, int64_t *needed);
/* Runs once with a clock around each step. JSON: microseconds per step. */
GRAFT_API int32_t graft_session_profile(graft_session *session, int32_t phases, char *text, int64_t capacity, int64_t *needed);

/* Kernels on memory of the caller, without a graph or a plan. An operand is an address that the device reaches and the number of
 * elements that may be touched from there; an address and a count of 0 leave an optional operand out. Nothing is copied and
 * nothing is kept. Any number of threads may call. What is written may overlap no other operand unless it says so here.
 * cpu and reference: memory of the host, `stream` is 0; small calls run on the calling thread alone, others on a lane of the
 * device; all return when done.
 * cuda: memory of that GPU, or managed memory, which the driver is asked about; `stream` is a cudaStream_t of that GPU as a
 * number (0, 1, 2 as CUDA counts its default streams). A call is enqueued there and returns: operands stay until the stream has come by, and no
 * value on the GPU is looked at (a label that is no class makes the loss NaN, an adapter that is none its rows). The first call of a size
 * prepares kernels and may wait. The calling thread's current device is what it was.
 */
#define GRAFT_TRANSPOSE_A 1
#define GRAFT_TRANSPOSE_B 2
#define GRAFT_ACCUMULATE 4

#define GRAFT_IDENTITY 0
#define GRAFT_RELU 1
#define GRAFT_SIGMOID 2
#define GRAFT_GELU 3      /* with the error function */
#define GRAFT_GELU_TANH 4 /* its approximation by tanh */
#define GRAFT_SILU 5

#define GRAFT_SGD 0
#define GRAFT_ADAM 1
#define GRAFT_ADAMW 2

/* c = activation(factor * op(a) op(b) + bias + residual (+ c with GRAFT_ACCUMULATE)) for each of `batch` matrices; op(a) is
 * [m, k], op(b) [k, n], c [m, n]; a transposed a lies as [k, m], a transposed b as [n, k]. `x_row` elements lie from row to row,
 * `x_step` from matrix to matrix; a step of 0 is one a or b for all. type is that of a and b, result_type of c and residual: F32
 * or BF16. bias is F32 [n]; the residual lies as c does and may be c. Sums are F32. */
GRAFT_API int32_t graft_matmul(graft_device *device, int64_t stream, int32_t flags, int32_t activation, double factor, int64_t batch, int64_t m,
                               int64_t n, int64_t k, int32_t type, int32_t result_type, int64_t a, int64_t a_count, int64_t a_row,
                               int64_t a_step, int64_t b, int64_t b_count, int64_t b_row, int64_t b_step, int64_t c, int64_t c_count,
                               int64_t c_row, int64_t c_step, int64_t bias, int64_t bias_count, int64_t residual, int64_t residual_count);
/* Mean over the rows of -sum over k of w[k] q[k] log softmax(logits)[k], as PyTorch's cross_entropy. target_type I32: labels
 * [rows], q is 1 at the label, rows with the label `ignored` do not count, the mean divides by the sum of w[label]. F32:
 * probabilities [rows, classes], the mean divides by rows. A normalizer above 0 divides in place of either. q is
 * (1 - smoothing) q + smoothing / classes. type is that of logits and
 * gradient: F32 or BF16. class_weight F32 [classes] and gradient [rows, classes] are optional; gradient
 * gets factor times the mean's and may be the logits. results F32 [2]: the mean, and the rows whose largest logit is the target. */
GRAFT_API int32_t graft_softmax_cross_entropy(graft_device *device, int64_t stream, int32_t type, int64_t rows, int64_t classes, double smoothing, int64_t ignored,
                                              double factor, double normalizer, int64_t logits, int64_t logits_count,
                                              int32_t target_type, int64_t target, int64_t target_count, int64_t class_weight,
                                              int64_t class_weight_count, int64_t gradient, int64_t gradient_count, int64_t results,
                                              int64_t results_count);
/* graft_softmax_cross_entropy of logits = x weight' + bias, which exist for as many rows at a time as `logits_bytes` hold (0: 128 MiB; a
 * row always fits). x is [rows, features], weight [classes, features], bias [classes] (optional). Of the gradients those are computed that
 * are given: dx, as x, which it may be; dweight and dbias, added to where accumulate is 1. type, F32 or BF16, is that of x, weight
 * and dx, and what logits and their gradient are rounded to; all else is F32. */
GRAFT_API int32_t graft_linear_cross_entropy(graft_device *device, int64_t stream, int32_t type, int64_t rows, int64_t features, int64_t classes,
                                             double smoothing, int64_t ignored, double factor, double normalizer, int64_t logits_bytes,
                                             int32_t accumulate, int64_t x, int64_t x_count, int64_t weight, int64_t weight_count, int64_t bias,
                                             int64_t bias_count, int32_t target_type, int64_t target, int64_t target_count,
                                             int64_t class_weight, int64_t class_weight_count, int64_t dx, int64_t dx_count, int64_t dweight,
                                             int64_t dweight_count, int64_t dbias, int64_t dbias_count, int64_t results,
                                             int64_t results_count);
/* One update of `count` weights by their gradient, formulas as torch.optim; `update` is 1 for the first. first is SGD's momentum or
 * Adam's first moment, second Adam's second, both F32 [count] and zero at the start; each is given exactly where the optimizer has it. anchor_strength
 * above 0 adds anchor_strength * (weight - anchor) to the gradient. clip above 0 limits the norm of the gradient of what is live.
 * Live are the elements whose bit in mask (optional, U8, little-endian bits) is 1 and that lie in one of the ranges [ranges[2i], ranges[2i + 1]),
 * ascending; no ranges: all. What is not live keeps weight and moments. norm F32 [1] (optional, with clip
 * alone): the gradient's before clipping. average_decay above 0 keeps a moving average of the weights, F32 [count], given with it alone:
 * average = average_decay * average + (1 - average_decay) * weight. copy BF16 [count] (optional): the weights after the update, rounded. */
GRAFT_API int32_t graft_optimizer_step(graft_device *device, int64_t stream, int32_t kind, double momentum, int32_t nesterov, double beta1, double beta2,
                                       double eps, double rate, double decay, double anchor_strength, double clip, double average_decay,
                                       int64_t update, int64_t count, const int64_t *ranges, int32_t range_count, int64_t weight, int64_t weight_count,
                                       int64_t gradient, int64_t gradient_count, int64_t first, int64_t first_count, int64_t second,
                                       int64_t second_count, int64_t anchor, int64_t anchor_count, int64_t mask, int64_t mask_count,
                                       int64_t norm, int64_t norm_count, int64_t average, int64_t average_count, int64_t copy,
                                       int64_t copy_count);
/* Adds a low-rank update to a weight in one pass: weight [rows, columns] += factor * b a, on each of `slices` runs of `width` rows
 * that begin at starts[i], ascending without overlap. a is [slices * rank, columns], b is [slices * width, rank], as of the
 * operation lora_linear. The negative factor takes it off again, within two roundings. type is that of all three: F32 or
 * BF16 with sums in F32, and then one rounding of the weight. Row-major. */
GRAFT_API int32_t graft_low_rank_merge(graft_device *device, int64_t stream, int32_t type, int64_t rows, int64_t columns, int64_t rank, double factor, int32_t slices,
                                       int64_t width, const int64_t *starts, int64_t weight, int64_t weight_count, int64_t a,
                                       int64_t a_count, int64_t b, int64_t b_count);
/* A linear layer with a low-rank update of its weight inside it: y = x weight' + bias and, on each of `slices` runs of
 * `width` columns that begin at starts[i], y += factor * t_i b_i', t = x a'. x is [rows, in], weight [out, in], bias [out]
 * (optional), a [slices * rank, in], b [slices * width, rank], y [rows, out], t [rows, slices * rank]. With adapters > 0 there is one
 * update each: a and b have the adapter's axis first, adapter (I32 [samples]) is that of each of `samples` equal parts of the rows,
 * -1 is none, and scales (F32 [adapters], optional) multiply the factor. type, F32 or BF16, is that of x, weight, a, b, y
 * and of dy and dx; bias, t, da and db are F32. */
GRAFT_API int32_t graft_low_rank_forward(graft_device *device, int64_t stream, int32_t type, int64_t rows, int64_t in, int64_t out, int64_t rank, double factor,
                                         int32_t slices, int64_t width, const int64_t *starts, int64_t adapters, int64_t samples,
                                         int64_t x, int64_t x_count, int64_t weight, int64_t weight_count, int64_t bias, int64_t bias_count,
                                         int64_t a, int64_t a_count, int64_t b, int64_t b_count, int64_t adapter, int64_t adapter_count,
                                         int64_t scales, int64_t scales_count, int64_t y, int64_t y_count, int64_t t, int64_t t_count);
/* Gradients of x, a and b out of dy [rows, out] and the forward's t; one that is left out is not computed, and what only it reads
 * may be left out too: the weight is read for dx alone. The weight has no gradient. accumulate 1 adds to da and db. */
GRAFT_API int32_t graft_low_rank_backward(graft_device *device, int64_t stream, int32_t type, int64_t rows, int64_t in, int64_t out, int64_t rank, double factor,
                                          int32_t slices, int64_t width, const int64_t *starts, int64_t adapters, int64_t samples,
                                          int32_t accumulate, int64_t x, int64_t x_count, int64_t weight, int64_t weight_count, int64_t a,
                                          int64_t a_count, int64_t b, int64_t b_count, int64_t adapter, int64_t adapter_count,
                                          int64_t scales, int64_t scales_count, int64_t t, int64_t t_count, int64_t dy, int64_t dy_count,
                                          int64_t dx, int64_t dx_count, int64_t da, int64_t da_count, int64_t db, int64_t db_count);

#ifdef __cplusplus
}
#endif
#endif
