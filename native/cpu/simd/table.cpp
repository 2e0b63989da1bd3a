// The table of one instruction set.
#include "table.h"

#if !(GRAFT_ISA_NEEDS)
#error "compiled without the instruction set that this table is named after"
#endif

#define GRAFT_TEXT_OF(x) #x
#define GRAFT_TEXT(x) GRAFT_TEXT_OF(x)

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

void add_pointwise(Simd&);
void add_broadcast(Simd&);
void add_batch_norm(Simd&);
void add_layer_norm(Simd&);
void add_pool(Simd&);
void add_softmax(Simd&);
void add_cross_entropy(Simd&);
void add_attention(Simd&);
void add_attention_gradients(Simd&);
void add_dropout(Simd&);
void add_low_rank(Simd&);
void add_optimizer(Simd&);

void fill(Simd& table) {
  table.name = GRAFT_TEXT(GRAFT_ISA_NAMESPACE);
  add_pointwise(table);
  add_broadcast(table);
  add_batch_norm(table);
  add_layer_norm(table);
  add_pool(table);
  add_softmax(table);
  add_cross_entropy(table);
  add_attention(table);
  add_attention_gradients(table);
  add_dropout(table);
  add_low_rank(table);
  add_optimizer(table);
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
