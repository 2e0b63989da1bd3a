// What is used of cuDNN 9: from its own header where the build has it, else declared here as that header has it. Nothing of it is
// linked. Where the header is, the compiler holds every number and prototype below to it. GRAFT_OWN_DECLARATIONS takes these even so.
#pragma once
#include "launch.h"

#define GRAFT_CUDNN_STATUSES(X) X(CUDNN_STATUS_SUCCESS, 0) X(CUDNN_STATUS_BAD_PARAM, 2000) X(CUDNN_STATUS_NOT_SUPPORTED, 3000)
#define GRAFT_CUDNN_DATA_TYPES(X) X(CUDNN_DATA_FLOAT, 0) X(CUDNN_DATA_BFLOAT16, 9)
#define GRAFT_CUDNN_CONVOLUTION_MODES(X) X(CUDNN_CONVOLUTION, 0) X(CUDNN_CROSS_CORRELATION, 1)
#define GRAFT_CUDNN_POINTWISE_MODES(X) X(CUDNN_POINTWISE_ADD, 0) X(CUDNN_POINTWISE_RELU_FWD, 100)
#define GRAFT_CUDNN_NAN_PROPAGATIONS(X) X(CUDNN_NOT_PROPAGATE_NAN, 0) X(CUDNN_PROPAGATE_NAN, 1)
#define GRAFT_CUDNN_HEURISTIC_MODES(X) X(CUDNN_HEUR_MODE_FALLBACK, 2) X(CUDNN_HEUR_MODE_A, 3)
#define GRAFT_CUDNN_NUMERICAL_NOTES(X)                                                        \
  X(CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 0)                                                      \
  X(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, 1)                                              \
  X(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, 2)                                      \
  X(CUDNN_NUMERICAL_NOTE_FFT, 3)                                                              \
  X(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 4)                                                 \
  X(CUDNN_NUMERICAL_NOTE_WINOGRAD, 5)
#define GRAFT_CUDNN_ATTRIBUTES(X)                                                             \
  X(CUDNN_ATTR_POINTWISE_MODE, 0)                                                             \
  X(CUDNN_ATTR_POINTWISE_MATH_PREC, 1)                                                        \
  X(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, 2)                                                  \
  X(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, 100)                                                    \
  X(CUDNN_ATTR_CONVOLUTION_CONV_MODE, 101)                                                    \
  X(CUDNN_ATTR_CONVOLUTION_DILATIONS, 102)                                                    \
  X(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 103)                                               \
  X(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 104)                                                \
  X(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 105)                                                 \
  X(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 106)                                                 \
  X(CUDNN_ATTR_ENGINEHEUR_MODE, 200)                                                          \
  X(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 201)                                               \
  X(CUDNN_ATTR_ENGINEHEUR_RESULTS, 202)                                                       \
  X(CUDNN_ATTR_ENGINECFG_ENGINE, 300)                                                         \
  X(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, 400)                                                    \
  X(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 401)                                             \
  X(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 402)                                            \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 700)                                      \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 701)                                       \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 702)                                  \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 703)                                          \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 704)                                          \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 705)                                          \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 706)                                     \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 707)                                      \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 708)                                 \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, 709)                                         \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 710)                                        \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 711)                                        \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 712)                                   \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 713)                                    \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 714)                               \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 715)                                      \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 716)                                       \
  X(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, 717)                                      \
  X(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 750)                                        \
  X(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 751)                                                \
  X(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 752)                                                \
  X(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 753)                                                \
  X(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, 800)                                                    \
  X(CUDNN_ATTR_OPERATIONGRAPH_OPS, 801)                                                       \
  X(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 900)                                                    \
  X(CUDNN_ATTR_TENSOR_DATA_TYPE, 901)                                                         \
  X(CUDNN_ATTR_TENSOR_DIMENSIONS, 902)                                                        \
  X(CUDNN_ATTR_TENSOR_STRIDES, 903)                                                           \
  X(CUDNN_ATTR_TENSOR_UNIQUE_ID, 906)                                                         \
  X(CUDNN_ATTR_TENSOR_IS_VIRTUAL, 907)                                                        \
  X(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 1000)                                                 \
  X(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, 1001)                                              \
  X(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, 1003)                                                  \
  X(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, 1303)
#define GRAFT_CUDNN_TYPES(X)                                                                  \
  X(CUDNN_TYPE_HANDLE, 0)                                                                     \
  X(CUDNN_TYPE_DATA_TYPE, 1)                                                                  \
  X(CUDNN_TYPE_BOOLEAN, 2)                                                                    \
  X(CUDNN_TYPE_INT64, 3)                                                                      \
  X(CUDNN_TYPE_FLOAT, 4)                                                                      \
  X(CUDNN_TYPE_VOID_PTR, 6)                                                                   \
  X(CUDNN_TYPE_CONVOLUTION_MODE, 7)                                                           \
  X(CUDNN_TYPE_HEUR_MODE, 8)                                                                  \
  X(CUDNN_TYPE_NAN_PROPOGATION, 10)                                                           \
  X(CUDNN_TYPE_NUMERICAL_NOTE, 11)                                                            \
  X(CUDNN_TYPE_POINTWISE_MODE, 14)                                                            \
  X(CUDNN_TYPE_BACKEND_DESCRIPTOR, 15)
#define GRAFT_CUDNN_DESCRIPTORS(X)                                                            \
  X(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, 0)                                                    \
  X(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, 1)                                                  \
  X(CUDNN_BACKEND_ENGINE_DESCRIPTOR, 2)                                                       \
  X(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, 3)                                                    \
  X(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, 4)                                                   \
  X(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, 5)                                               \
  X(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, 10)                               \
  X(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, 11)                       \
  X(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, 12)                         \
  X(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, 13)                                         \
  X(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, 15)                                              \
  X(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, 16)                                                \
  X(CUDNN_BACKEND_TENSOR_DESCRIPTOR, 17)

#if defined(__CUDACC__) && !defined(GRAFT_OWN_DECLARATIONS) && __has_include(<cudnn.h>)
#include <cudnn.h>
#define GRAFT_CUDNN_ENUM(name, list) list(GRAFT_CUDNN_HELD)
#define GRAFT_CUDNN_HELD(name, number) static_assert(static_cast<int>(name) == number, #name " has another number in cuDNN's header");
#else
#include <cstddef>
#define GRAFT_CUDNN_ENUM(name, list) enum name : unsigned { list(GRAFT_CUDNN_ENUMERATOR) };
#define GRAFT_CUDNN_ENUMERATOR(name, number) name = number,
using cudnnHandle_t = struct cudnnContext*;
using cudnnBackendDescriptor_t = void*;
#endif

GRAFT_CUDNN_ENUM(cudnnStatus_t, GRAFT_CUDNN_STATUSES)
GRAFT_CUDNN_ENUM(cudnnDataType_t, GRAFT_CUDNN_DATA_TYPES)
GRAFT_CUDNN_ENUM(cudnnConvolutionMode_t, GRAFT_CUDNN_CONVOLUTION_MODES)
GRAFT_CUDNN_ENUM(cudnnPointwiseMode_t, GRAFT_CUDNN_POINTWISE_MODES)
GRAFT_CUDNN_ENUM(cudnnNanPropagation_t, GRAFT_CUDNN_NAN_PROPAGATIONS)
GRAFT_CUDNN_ENUM(cudnnBackendHeurMode_t, GRAFT_CUDNN_HEURISTIC_MODES)
GRAFT_CUDNN_ENUM(cudnnBackendNumericalNote_t, GRAFT_CUDNN_NUMERICAL_NOTES)
GRAFT_CUDNN_ENUM(cudnnBackendAttributeName_t, GRAFT_CUDNN_ATTRIBUTES)
GRAFT_CUDNN_ENUM(cudnnBackendAttributeType_t, GRAFT_CUDNN_TYPES)
GRAFT_CUDNN_ENUM(cudnnBackendDescriptorType_t, GRAFT_CUDNN_DESCRIPTORS)

extern "C" {
size_t cudnnGetVersion(void);
const char* cudnnGetErrorString(cudnnStatus_t);
cudnnStatus_t cudnnCreate(cudnnHandle_t*);
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t);
cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t*);
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t);
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t count, const void* elements);
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t requested, int64_t* count,
                                       void* elements);
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t);
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack);
}
