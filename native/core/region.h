// Memory of a caller: where it lies, how many elements may be touched, and how messages call it. Numbers only: what lies there
// is the column's business.
#pragma once
#include "error.h"
#include "tensor.h"

namespace graft {

struct Region {
  const char* name;
  int64_t address, count;
  DType type = DType::F32;

  bool given() const { return address != 0 || count != 0; }
  void* at() const { return reinterpret_cast<void*>(address); }
  int64_t end() const { return address + count * static_cast<int64_t>(size_of(type)); }

  // The caller's fault unless `needed` elements lie there.
  const Region& holds(int64_t needed) const {
    require(address != 0, name, ": the address is null; ", needed, " elements of ", name_of(type), " are needed");
    require(address > 0 && address < int64_t{1} << 62 && address % static_cast<int64_t>(size_of(type)) == 0, name, ": address ", address, " is no place for ", name_of(type));
    require(count >= needed && count <= kMostElements, name, ": ", needed, " elements of ", name_of(type), " are needed, ", count, " came");
    return *this;
  }
  // What is written may be no part of another operand.
  const Region& apart_from(const Region& other) const {
    require(!other.given() || end() <= other.address || other.end() <= address, name, " overlaps ", other.name, ": ", name, " takes the bytes ",
            address, " to ", end(), ", ", other.name, " ", other.address, " to ", other.end());
    return *this;
  }
  bool same_as(const Region& other) const { return address == other.address && type == other.type; }
};

}  // namespace graft
