# oneDNN out of the jar org.bytedeco:dnnl (classifier jar): it has no development link and its own CMake configuration
# names a file that the jar lacks, so the library is imported by hand.
include_guard(GLOBAL)
if(NOT EXISTS ${DNNL_ROOT}/libdnnl.so.3)
  message(FATAL_ERROR "graft: DNNL_ROOT=${DNNL_ROOT} holds no libdnnl.so.3; the Maven build unpacks it there")
endif()
add_library(dnnl SHARED IMPORTED)
set_target_properties(dnnl PROPERTIES
  IMPORTED_LOCATION ${DNNL_ROOT}/libdnnl.so.3
  IMPORTED_SONAME libdnnl.so.3
  INTERFACE_INCLUDE_DIRECTORIES ${DNNL_ROOT}/include)
