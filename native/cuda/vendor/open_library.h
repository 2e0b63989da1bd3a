// NVIDIA's libraries, opened at run time. What the process has loaded already under the library's soname is taken, so that there are
// never two versions in one process: in a JVM the CUDA presets have loaded it. Else it is searched for, in this order: the folders in
// GRAFT_LIBRARY_PATH (a list with colons), the loader's own path, CUDA_HOME, the toolkit's usual folders, the folders that the Python
// wheels of CUDA 12 and 13 unpack to, below VIRTUAL_ENV, CONDA_PREFIX, the user's and the system's site-packages.
#pragma once
#include <string>
#include <vector>

namespace graft::cuda {

struct LibraryName {
  std::string stem;                 // "libcublasLt.so."
  std::vector<int> majors;          // versions of the soname, the best first
  std::vector<std::string> wheels;  // folders below site-packages
};

struct OpenLibrary {
  void* handle = nullptr;  // stays open as long as the process lives
  std::string path;
  std::string reason;      // one line that says why there is no handle
};

OpenLibrary open_library(const LibraryName& name);

// The folders that are searched where the loader's own path does not help, those that exist. For messages and for doctor.
std::vector<std::string> library_folders(const LibraryName& name);

}  // namespace graft::cuda
