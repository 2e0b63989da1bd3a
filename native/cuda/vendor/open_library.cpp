#include "vendor/open_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <sys/stat.h>

#include <cstdlib>

#include "error.h"

namespace graft::cuda {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

void add_folders(std::vector<std::string>& folders, const std::string& pattern) {
  glob_t found{};
  if (glob(pattern.c_str(), GLOB_ONLYDIR, nullptr, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; i++) folders.push_back(found.gl_pathv[i]);
  globfree(&found);
}

// Folders that the caller names.
std::vector<std::string> named_folders() {
  std::vector<std::string> folders;
  std::string list = environment("GRAFT_LIBRARY_PATH");
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(':', at), list.size());
    if (end > at) folders.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return folders;
}

bool exists(const std::string& path) {
  struct stat s;
  return stat(path.c_str(), &s) == 0;
}

OpenLibrary opened(void* handle, const std::string& asked) {
  link_map* map = nullptr;
  const bool told = dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && *map->l_name;
  return {handle, told ? map->l_name : asked, ""};
}

}  // namespace

std::vector<std::string> library_folders(const LibraryName& name) {
  std::vector<std::string> folders;
  if (const std::string home = environment("CUDA_HOME"); !home.empty()) add_folders(folders, home + "/lib64"), add_folders(folders, home + "/lib");
  add_folders(folders, "/usr/local/cuda/lib64");
  add_folders(folders, "/usr/local/cuda/targets/x86_64-linux/lib");
  std::vector<std::string> roots;
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string root = environment(variable); !root.empty()) roots.push_back(root + "/lib/python3*/site-packages");
  if (const std::string home = environment("HOME"); !home.empty()) roots.push_back(home + "/.local/lib/python3*/site-packages");
  for (const char* system : {"/usr/local/lib/python3*/site-packages", "/usr/local/lib/python3*/dist-packages", "/usr/lib/python3/dist-packages", "/opt/conda/lib/python3*/site-packages"})
    roots.push_back(system);
  for (const std::string& root : roots)
    for (const std::string& wheel : name.wheels) add_folders(folders, root + "/" + wheel);
  return folders;
}

OpenLibrary open_library(const LibraryName& name) {
  std::string broken, names;
  for (int major : name.majors) {
    const std::string soname = text(name.stem, major);
    if (void* handle = dlopen(soname.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD)) return opened(handle, soname);
    names += (names.empty() ? "" : " or ") + soname;
  }
  const auto attempt = [&](const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (!handle && broken.empty()) broken = dlerror();
    return handle;
  };
  const std::vector<std::string> given = named_folders(), usual = library_folders(name);
  for (int major : name.majors) {
    const std::string soname = text(name.stem, major);
    for (const std::string& folder : given)
      if (exists(folder + "/" + soname))
        if (void* handle = attempt(folder + "/" + soname)) return opened(handle, folder + "/" + soname);
    if (void* handle = dlopen(soname.c_str(), RTLD_LAZY | RTLD_LOCAL)) return opened(handle, soname);
    const std::string reason = dlerror();
    if (broken.empty() && reason.find("No such file") == std::string::npos) broken = reason;
    for (const std::string& folder : usual)
      if (exists(folder + "/" + soname))
        if (void* handle = attempt(folder + "/" + soname)) return opened(handle, folder + "/" + soname);
  }
  if (!broken.empty()) return {nullptr, "", text(names, " does not load: ", broken)};
  return {nullptr, "", text(names, " is not found: not loaded by this process, not on the library path, in ", given.empty() ? "" : "GRAFT_LIBRARY_PATH, ",
                            "CUDA_HOME, /usr/local/cuda or a wheel's folder")};
}

}  // namespace graft::cuda
