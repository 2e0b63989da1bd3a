// The C interface to graphs, parameters, plans and sessions: checks handles and calls core.
#include <cstring>

#include "cuda_library.h"
#include "graft_build.h"
#include "handles.h"
#include "json.h"

using namespace graft;
using namespace graft::api;

namespace {

void give_text(const std::string& source, char* to, int64_t capacity, int64_t* needed) {
  there(needed, "needed");
  *needed = static_cast<int64_t>(source.size()) + 1;
  if (!to || capacity <= 0) return;
  size_t n = std::min<size_t>(source.size(), static_cast<size_t>(capacity) - 1);
  std::memcpy(to, source.data(), n);
  to[n] = 0;
}

Shape shape_of(int32_t rank, const int64_t* dims, const std::string& name) {
  require(rank >= 0 && rank <= kMaxRank, name, ": rank is ", rank, "; expected 0 to ", kMaxRank);
  require(dims || rank == 0, name, ": dims are null");
  Shape s;
  s.rank = rank;
  int64_t count = 1;
  for (int i = 0; i < rank; i++) {
    s.dims[i] = dims[i];
    require(dims[i] >= 0 && (dims[i] == 0 || count <= kMostElements / dims[i]), name, ": dimension ", i, " is ", dims[i],
            "; sizes are positive and 2^40 elements at most");
    count *= std::max<int64_t>(dims[i], 1);
  }
  return s;
}

DType dtype_of(int32_t code, const std::string& name) {
  require(code >= GRAFT_F32 && code <= GRAFT_F16, name, ": no element type has the code ", code);
  return static_cast<DType>(code);
}

// A failure to open a device begins with its name.
template <class Make>
auto of_device(const std::string& name, Make make) {
  try {
    return make();
  } catch (const Error& e) {
    throw Error(e.status(), text("device ", name, ": ", e.what()));
  }
}

Error no_column(const std::string& name) {
  return Error(GRAFT_UNAVAILABLE, text("no column ", name, "; there are: cpu, cuda, cuda:N, reference"));
}

}  // namespace

extern "C" {

int64_t graft_calls(void) { return calls; }

const char* graft_version(void) { return GRAFT_BUILD; }
const char* graft_last_error(void) { return last_error.c_str(); }

int32_t graft_device_open(const char* column, int32_t threads, int32_t lanes, graft_device** out) {
  return guard([&] {
    std::string name = checked(column, "column");
    require(threads >= 1 && threads <= 1024, "threads are ", threads, "; expected 1 to 1024");
    require(lanes >= 1 && lanes <= 64, "lanes are ", lanes, "; expected 1 to 64");
    there(out, "out");
    const std::optional<int> gpu = cuda_device(name);
    std::unique_ptr<Column> made;
    if (name == "cpu") made = make_cpu_column(make_reference_column());
    else if (name == "reference") made = make_reference_column();
    else if (gpu) made = of_device(name, [&] { return open_cuda(*gpu); });
    else throw no_column(name);
    *out = new graft_device{std::make_shared<Device>(std::move(made), lanes, threads), {}};
  });
}

int32_t graft_device_choose(graft_device* device, const char* key, const char* value) {
  return guard([&] {
    graft_device& d = checked(device, "device");
    const std::string k = checked(key, "key");
    d.choice.set(k, checked(value, "value"), "graft." + k);
    d.device->column->choose(d.choice);
  });
}

int32_t graft_device_check(const char* column) {
  return guard([&] {
    const std::string name = checked(column, "column");
    if (name == "cpu" || name == "reference") return;
    const std::optional<int> gpu = cuda_device(name);
    if (!gpu) throw no_column(name);
    of_device(name, [&] { check_cuda(*gpu); });
  });
}

int32_t graft_cuda_describe(char* text, int64_t capacity, int64_t* needed) {
  return guard([&] { give_text(describe_cuda(), text, capacity, needed); });
}

void graft_device_close(graft_device* device) { delete device; }

int32_t graft_device_describe(graft_device* device, char* text, int64_t capacity, int64_t* needed) {
  return guard([&] {
    Device& d = *checked(device, "device").device;
    Json json;
    json.begin_object().field("column", d.column->name()).field("threads", d.thread_count).field("lanes", d.lane_count);
    json.key("details").raw(d.column->describe()).field("available_bytes", static_cast<int64_t>(d.column->available_bytes())).end_object();
    give_text(json.text(), text, capacity, needed);
  });
}

int32_t graft_params_create(graft_device* device, graft_params** out) {
  return guard([&] { there(out, "out"); *out = new graft_params{std::make_shared<Params>(checked(device, "device").device)}; });
}

void graft_params_close(graft_params* params) { delete params; }

int32_t graft_params_declare(graft_params* params, const char* name, int32_t rank, const int64_t* dims, int32_t buffer, const char* origin) {
  return guard([&] {
    std::string n = checked(name, "name");
    checked(params, "params").params->declare(n, shape_of(rank, dims, n), buffer != 0, checked(origin, "origin"));
  });
}

int32_t graft_params_remove(graft_params* params, const char* name) {
  return guard([&] { checked(params, "params").params->remove(checked(name, "name")); });
}

int32_t graft_params_source_file(graft_params* params, const char* name, const char* path, int64_t offset, int32_t dtype, int32_t rank,
                                 const int64_t* file_dims, const int32_t* order) {
  return guard([&] {
    Params& p = *checked(params, "params").params;
    std::string n = checked(name, "name");
    FileSource source;
    source.file_shape = shape_of(rank, file_dims, n);
    source.dtype = dtype_of(dtype, n);
    source.offset = offset;
    unsigned seen = 0;
    for (int i = 0; i < rank; i++) {
      require(there(order, "order")[i] >= 0 && order[i] < rank && !(seen >> order[i] & 1), "parameter ", n, ": order is no permutation of ", rank, " axes");
      seen |= 1u << order[i];
      source.order.push_back(order[i]);
    }
    source.file = p.open_file(checked(path, "path"));
    p.source_file(n, std::move(source));
  });
}

int32_t graft_params_write(graft_params* params, const char* name, const float* values, int64_t count) {
  return guard([&] {
    checked(params, "params").params->write(checked(name, "name"), there(values, "values"), count);
  });
}

int32_t graft_params_read(graft_params* params, const char* name, float* values, int64_t count) {
  return guard([&] {
    checked(params, "params").params->read(checked(name, "name"), there(values, "values"), count);
  });
}

int32_t graft_params_read_moment(graft_params* params, const char* name, int32_t which, float* values, int64_t count) {
  return guard([&] { checked(params, "params").params->read_moment(checked(name, "name"), which, there(values, "values"), count); });
}

int32_t graft_params_write_moment(graft_params* params, const char* name, int32_t which, const float* values, int64_t count) {
  return guard([&] { checked(params, "params").params->write_moment(checked(name, "name"), which, there(values, "values"), count); });
}

int32_t graft_params_describe(graft_params* params, char* text, int64_t capacity, int64_t* needed) {
  return guard([&] { give_text(checked(params, "params").params->describe(), text, capacity, needed); });
}

int32_t graft_graph_create(graft_graph** out) {
  return guard([&] { there(out, "out"); *out = new graft_graph(); });
}

void graft_graph_close(graft_graph* graph) { delete graph; }

int32_t graft_graph_input(graft_graph* graph, const char* name, int32_t dtype, int32_t rank, const int64_t* dims, int32_t* value) {
  return guard([&] {
    std::string n = checked(name, "name");
    there(value, "value");
    *value = checked(graph, "graph").graph.input(n, dtype_of(dtype, n), shape_of(rank, dims, n));
  });
}

int32_t graft_graph_parameter(graft_graph* graph, const char* name, int32_t rank, const int64_t* dims, int32_t* value) {
  return guard([&] {
    std::string n = checked(name, "name");
    there(value, "value");
    *value = checked(graph, "graph").graph.parameter(n, shape_of(rank, dims, n));
  });
}

int32_t graft_graph_node(graft_graph* graph, const char* op, const char* name, const int32_t* inputs, int32_t count, const char* attributes,
                         int32_t* value) {
  return guard([&] {
    require(count >= 0 && (inputs || count == 0), "inputs are null or their count is negative");
    there(value, "value");
    *value = checked(graph, "graph").graph.node(checked(op, "op"), checked(name, "name"), std::vector<int>(inputs, inputs + count),
                                                attributes ? attributes : "");
  });
}

int32_t graft_graph_output(graft_graph* graph, const char* name, int32_t value) {
  return guard([&] { checked(graph, "graph").graph.output(checked(name, "name"), value); });
}

int32_t graft_graph_dims(graft_graph* graph, int32_t value, int32_t* rank, int64_t* dims) {
  return guard([&] {
    const Shape& s = checked(graph, "graph").graph.value(value).type.shape;
    there(rank, "rank");
    *rank = s.rank;
    for (int i = 0; i < s.rank; i++) there(dims, "dims")[i] = s[i];
  });
}

int32_t graft_plan_compile(graft_device* device, graft_graph* graph, graft_params* params, const char* options, graft_plan** out) {
  return guard([&] {
    there(out, "out");
    *out = new graft_plan{Plan::compile(checked(device, "device").device, checked(graph, "graph").graph, checked(params, "params").params,
                                        checked(options, "options"))};
  });
}

void graft_plan_close(graft_plan* plan) { delete plan; }

int32_t graft_plan_precision(graft_plan* plan, int32_t* precision) {
  return guard([&] { *there(precision, "precision") = static_cast<int32_t>(checked(plan, "plan").plan->options().compute); });
}

int32_t graft_plan_describe(graft_plan* plan, char* text, int64_t capacity, int64_t* needed) {
  return guard([&] { give_text(checked(plan, "plan").plan->describe(), text, capacity, needed); });
}

int32_t graft_plan_memory(graft_plan* plan, char* text, int64_t capacity, int64_t* needed) {
  return guard([&] { give_text(checked(plan, "plan").plan->memory_text(), text, capacity, needed); });
}

int32_t graft_workspace_create(graft_device* device, graft_workspace** out) {
  return guard([&] { there(out, "out"); *out = new graft_workspace{std::make_shared<Workspace>(checked(device, "device").device)}; });
}

void graft_workspace_close(graft_workspace* workspace) { delete workspace; }

int32_t graft_session_create(graft_plan* plan, graft_workspace* workspace, graft_session** out) {
  return guard([&] {
    there(out, "out");
    *out = new graft_session{std::make_shared<Session>(checked(plan, "plan").plan, checked(workspace, "workspace").workspace)};
  });
}

void graft_session_close(graft_session* session) { delete session; }

int32_t graft_session_write(graft_session* session, const char* input, int64_t address, int64_t bytes) {
  return guard([&] {
    require(address != 0 && bytes >= 0, "input ", checked(input, "input"), ": the address is null or the bytes are negative");
    checked(session, "session").session->write(input, reinterpret_cast<const void*>(address), static_cast<size_t>(bytes));
  });
}

int32_t graft_session_write_part(graft_session* session, const char* input, int64_t offset, int64_t address, int64_t bytes) {
  return guard([&] {
    require(address != 0 && bytes >= 0 && offset >= 0, "input ", checked(input, "input"), ": the address is null, or the offset or the bytes are negative");
    checked(session, "session").session->write_part(input, static_cast<size_t>(offset), reinterpret_cast<const void*>(address), static_cast<size_t>(bytes));
  });
}

int32_t graft_session_numbers(graft_session* session, const char* name, void** address, int64_t* bytes) {
  return guard([&] {
    const auto [at, size] = checked(session, "session").session->numbers(checked(name, "name"));
    there(address, "address");
    *there(bytes, "bytes") = static_cast<int64_t>(size);
    *address = at;
  });
}

int32_t graft_session_updates(graft_session* session, int64_t count) {
  return guard([&] { checked(session, "session").session->updates(count); });
}

int32_t graft_session_turn(graft_session* session, int32_t phases, const char* inputs, const int64_t* addresses, const int64_t* bytes, int32_t count) {
  return guard([&] {
    constexpr int kMost = 16;
    Session& s = *checked(session, "session").session;
    require(count >= 0 && count <= kMost, "a turn takes 0 to ", kMost, " inputs, not ", count);
    std::string names[kMost];
    Session::Next next[kMost];
    const char* at = count > 0 ? there(inputs, "inputs") : "";
    int given = 0;
    for (int i = 0; i < count; i++) {
      const size_t length = std::strcspn(at, "\n");
      names[i].assign(at, length);
      at += length + (at[length] != 0);
      if (there(addresses, "addresses")[i] == 0) continue;
      require(there(bytes, "bytes")[i] >= 0, "input ", names[i], ": the bytes are negative");
      next[given++] = {names[i].c_str(), reinterpret_cast<const void*>(addresses[i]), static_cast<size_t>(bytes[i])};
    }
    s.run(phases, next, given);
  });
}

int32_t graft_session_read(graft_session* session, const char* name, int64_t address, int64_t bytes) {
  return guard([&] {
    require(address != 0 && bytes >= 0, "value ", checked(name, "name"), ": the address is null or the bytes are negative");
    checked(session, "session").session->read(name, reinterpret_cast<void*>(address), static_cast<size_t>(bytes));
  });
}

int32_t graft_session_size(graft_session* session, const char* name, int64_t* count) {
  return guard([&] { there(count, "count"); *count = checked(session, "session").session->size(checked(name, "name")); });
}

int32_t graft_session_find_nonfinite(graft_session* session, int32_t phases, char* text, int64_t capacity, int64_t* needed) {
  return guard([&] { give_text(checked(session, "session").session->find_nonfinite(phases), text, capacity, needed); });
}

int32_t graft_session_profile(graft_session* session, int32_t phases, char* text, int64_t capacity, int64_t* needed) {
  return guard([&] { give_text(checked(session, "session").session->profile(phases), text, capacity, needed); });
}

}  // extern "C"
