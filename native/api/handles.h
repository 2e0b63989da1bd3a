// What the files of the C interface share: handles, the guard around every call, checks of pointers.
#pragma once
#include <memory>
#include <new>

#include "graft.h"
#include "session.h"

struct graft_device {
  std::shared_ptr<graft::Device> device;
  graft::ProductChoice choice{};
};
struct graft_params { std::shared_ptr<graft::Params> params; };
struct graft_graph { graft::Graph graph; };
struct graft_plan { std::shared_ptr<graft::Plan> plan; };
struct graft_workspace { std::shared_ptr<graft::Workspace> workspace; };
struct graft_session { std::shared_ptr<graft::Session> session; };

namespace graft::api {

inline thread_local std::string last_error;
inline thread_local int64_t calls = 0;

// Runs a call's body; alone turns exceptions into a status and a message.
template <class Body>
int32_t guard(Body body) {
  calls++;
  try {
    last_error.clear();
    body();
    return GRAFT_OK;
  } catch (const Error& e) {
    last_error = e.what();
    return e.status();
  } catch (const std::bad_alloc&) {
    last_error = "the system has no more memory to give";
    return GRAFT_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    last_error = e.what();
    return GRAFT_INTERNAL;
  } catch (...) {
    last_error = "an unknown failure";
    return GRAFT_INTERNAL;
  }
}

template <class Handle>
Handle& checked(Handle* handle, const char* name) {
  require(handle, name, " is null");
  return *handle;
}

inline std::string checked(const char* s, const char* name) {
  require(s, name, " is null");
  return s;
}

// A place for a result, or an array.
template <class T>
T* there(T* pointer, const char* name) {
  require(pointer, name, " is null");
  return pointer;
}

}  // namespace graft::api
