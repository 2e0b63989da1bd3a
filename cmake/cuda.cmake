# The CUDA column, libgraft_cuda.so: finds nvcc, and says in one line why there is none. GRAFT_HAS_CUDA tells what came of it.
set(GRAFT_CUDA AUTO CACHE STRING "the CUDA column: ON demands nvcc, AUTO does without, OFF does not look for it")
set_property(CACHE GRAFT_CUDA PROPERTY STRINGS AUTO ON OFF)
# Native code for 8.x, 9.0 and 10.0; PTX of 8.0 serves all that come later.
set(CMAKE_CUDA_ARCHITECTURES "80;90a-real;100a-real" CACHE STRING "what nvcc compiles for")

set(graft_least_nvcc 12.8) # the first for 100a
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH graft_checkout)
set(GRAFT_HAS_CUDA OFF)
set(graft_no_cuda "")

if(NOT GRAFT_CUDA)
  set(graft_no_cuda "GRAFT_CUDA is OFF")
elseif(GRAFT_SANITIZE)
  set(graft_no_cuda "nvcc and GRAFT_SANITIZE do not go together")
elseif(NOT CMAKE_CUDA_COMPILER)
  if(GRAFT_NVCC AND NOT EXISTS ${GRAFT_NVCC})
    unset(GRAFT_NVCC CACHE)
  endif()
  find_program(GRAFT_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin ${graft_checkout}/.cache/nvcc/bin /usr/local/cuda/bin
               DOC "the CUDA compiler") # the PATH comes before PATHS
  if(NOT GRAFT_NVCC)
    set(graft_no_cuda "no nvcc on the PATH, in CUDA_HOME or in .cache/nvcc, where cmake/fetch_nvcc puts one")
  else()
    execute_process(COMMAND ${GRAFT_NVCC} --version OUTPUT_VARIABLE graft_nvcc_version ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+[.][0-9]+)" graft_nvcc_version "${graft_nvcc_version}")
    set(graft_nvcc_version "${CMAKE_MATCH_1}")
    if(NOT graft_nvcc_version)
      set(graft_no_cuda "${GRAFT_NVCC} does not tell its version")
    elseif(graft_nvcc_version VERSION_LESS graft_least_nvcc)
      set(graft_no_cuda "${GRAFT_NVCC} is of CUDA ${graft_nvcc_version}; ${graft_least_nvcc} or newer is needed")
    else()
      set(ENV{CUDACXX} ${GRAFT_NVCC})
      include(CheckLanguage)
      check_language(CUDA) # in a project of its own: what fails there does not end this configuration
      if(NOT CMAKE_CUDA_COMPILER)
        set(graft_no_cuda "${GRAFT_NVCC} does not compile a test program with ${CMAKE_CXX_COMPILER}")
      endif()
    endif()
  endif()
endif()

if(NOT graft_no_cuda)
  set(GRAFT_HAS_CUDA ON)
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
  enable_language(CUDA)
  message(STATUS "graft: with the CUDA column: ${CMAKE_CUDA_COMPILER}, for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(GRAFT_CUDA STREQUAL "AUTO" OR NOT GRAFT_CUDA)
  message(STATUS "graft: CPU only: ${graft_no_cuda}")
else()
  message(FATAL_ERROR "graft: GRAFT_CUDA is ${GRAFT_CUDA}, but ${graft_no_cuda}")
endif()

# A shared library of its own out of .cu and .cpp sources: nothing of the driver or of NVIDIA's libraries is linked.
function(graft_cuda_library target sources)
  add_library(${target} SHARED ${sources})
  # what ptxas must not report is an error of the build
  set(launcher ${graft_checkout}/cmake/ptxas_gate ${CMAKE_CUDA_COMPILER_LAUNCHER})
  set_target_properties(${target} PROPERTIES CUDA_COMPILER_LAUNCHER "${launcher}")
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xptxas=-v,-warn-spills,-warn-lmem-usage --fatbin-options=-compress-mode=size -Xcompiler=-march=x86-64-v2>)
  target_include_directories(${target} PRIVATE cuda)
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}) # cuda.h for the .cpp sources
  target_link_libraries(${target} PRIVATE graft_options ${CMAKE_DL_LIBS})
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
endfunction()
