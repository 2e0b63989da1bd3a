// The C interface misused: a status and a message, never a crash.
#include <climits>
#include <memory>

#include "graft.h"
#include "harness.h"

using namespace graft;
using namespace graft::test;

namespace {

// Everything that a working caller has.
struct World {
  World() {
    const int64_t dims[] = {2, 3}, weight[] = {4, 3};
    ok(graft_device_open("reference", 1, 1, &device));
    ok(graft_params_create(device, &params));
    ok(graft_params_declare(params, "w", 2, weight, 0, "head"));
    const float values[12] = {1};
    ok(graft_params_write(params, "w", values, 12));
    ok(graft_graph_create(&graph));
    int32_t in[3] = {0, 0, -1};
    ok(graft_graph_input(graph, "x", GRAFT_F32, 2, dims, &in[0]));
    ok(graft_graph_parameter(graph, "w", 2, weight, &in[1]));
    ok(graft_graph_node(graph, "linear", "y", in, 3, nullptr, &y));
    ok(graft_graph_output(graph, "y", y));
    ok(graft_plan_compile(device, graph, params, "batch 2", &plan));
    ok(graft_workspace_create(device, &workspace));
    ok(graft_session_create(plan, workspace, &session));
  }
  ~World() {
    graft_session_close(session);
    graft_workspace_close(workspace);
    graft_plan_close(plan);
    graft_graph_close(graph);
    graft_params_close(params);
    graft_device_close(device);
  }
  static void ok(int32_t status) { ensure(status == GRAFT_OK, graft_last_error()); }
  graft_device* device = nullptr;
  graft_params* params = nullptr;
  graft_graph* graph = nullptr;
  graft_plan* plan = nullptr;
  graft_workspace* workspace = nullptr;
  graft_session* session = nullptr;
  int32_t y = -1;
};

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  World w;
  auto refuses = [&](const std::string& name, const std::string& part, int32_t status, int32_t expected = GRAFT_INVALID_ARGUMENT) {
    std::string message = graft_last_error();
    harness.test(name, [&] {
      harness.expect(status == expected, "status ", status, ", expected ", expected, ": ", message);
      harness.expect(message.find(part) != std::string::npos, "expected a message that says: ", part, ", got: ", message);
    });
  };
  char text[64];
  int64_t needed = 0, dims[] = {2, 3}, big[] = {INT64_MAX, 2}, negative[] = {2, -3};
  int32_t value = 0, rank = 0, order[] = {0, 1}, twice[] = {0, 0}, far[] = {99};
  float f[12] = {};
  const int64_t there = reinterpret_cast<int64_t>(f);

  graft_device* device = nullptr;
  refuses("device: column null", "column is null", graft_device_open(nullptr, 1, 1, &device));
  refuses("device: out null", "out is null", graft_device_open("cpu", 1, 1, nullptr));
  refuses("device: unknown column", "no column gpu", graft_device_open("gpu", 1, 1, &device), GRAFT_UNAVAILABLE);
  refuses("device: no threads", "threads are 0", graft_device_open("cpu", 0, 1, &device));
  refuses("device: too many lanes", "lanes are 65", graft_device_open("cpu", 1, 65, &device));
  refuses("device describe: null", "device is null", graft_device_describe(nullptr, text, 64, &needed));
  refuses("describe: needed null", "needed is null", graft_device_describe(w.device, text, 64, nullptr));

  refuses("choose: null device", "device is null", graft_device_choose(nullptr, "matmul", "own"));
  refuses("choose: null key", "key is null", graft_device_choose(w.device, nullptr, "own"));
  refuses("choose: null value", "value is null", graft_device_choose(w.device, "matmul", nullptr));
  refuses("choose: unknown key", "products have no setting matmull; nearest is matmul", graft_device_choose(w.device, "matmull", "own"));
  refuses("choose: unknown word", "graft.matmul: expected own, vendor or auto, got mine", graft_device_choose(w.device, "matmul", "mine"));
  harness.test("choose: every word, on a column that has no choice", [&] {
    for (const char* word : {"own", "vendor", "auto"}) harness.expect(graft_device_choose(w.device, "matmul", word) == GRAFT_OK, graft_last_error());
    for (const char* word : {"exact", "tf32", "bf16x3", "bf16x6"}) harness.expect(graft_device_choose(w.device, "f32_products", word) == GRAFT_OK, graft_last_error());
    harness.expect(graft_device_choose(w.device, "tuning", "") == GRAFT_OK, graft_last_error());
  });

  refuses("params: device null", "device is null", graft_params_create(nullptr, &w.params));
  refuses("params: out null", "out is null", graft_params_create(w.device, nullptr));
  refuses("declare: null params", "params is null", graft_params_declare(nullptr, "v", 2, dims, 0, "head"));
  refuses("declare: null name", "name is null", graft_params_declare(w.params, nullptr, 2, dims, 0, "head"));
  refuses("declare: null dims", "v: dims are null", graft_params_declare(w.params, "v", 2, nullptr, 0, "head"));
  refuses("declare: null origin", "origin is null", graft_params_declare(w.params, "v", 2, dims, 0, nullptr));
  refuses("declare: rank 9", "v: rank is 9", graft_params_declare(w.params, "v", 9, dims, 0, "head"));
  refuses("declare: rank -1", "v: rank is -1", graft_params_declare(w.params, "v", -1, dims, 0, "head"));
  refuses("declare: too large", "v: dimension 0 is 9223372036854775807", graft_params_declare(w.params, "v", 2, big, 0, "head"));
  refuses("declare: negative", "v: dimension 1 is -3", graft_params_declare(w.params, "v", 2, negative, 0, "head"));
  refuses("declare: twice", "parameter w is declared twice", graft_params_declare(w.params, "w", 2, dims, 0, "head"));
  refuses("source: null order", "order is null", graft_params_source_file(w.params, "w", "/dev/null", 0, GRAFT_F32, 2, dims, nullptr));
  refuses("source: order twice", "order is no permutation", graft_params_source_file(w.params, "w", "/dev/null", 0, GRAFT_F32, 2, dims, twice));
  refuses("source: null path", "path is null", graft_params_source_file(w.params, "w", nullptr, 0, GRAFT_F32, 2, dims, order));
  refuses("source: no such type", "no element type has the code 7", graft_params_source_file(w.params, "w", "/dev/null", 0, 7, 2, dims, order));
  refuses("source: no such file", "/no/file", graft_params_source_file(w.params, "w", "/no/file", 0, GRAFT_F32, 2, dims, order), GRAFT_UNAVAILABLE);
  refuses("write: null values", "values is null", graft_params_write(w.params, "w", nullptr, 12));
  refuses("write: wrong count", "has 12 elements, 11 came", graft_params_write(w.params, "w", f, 11));
  refuses("write: unknown name", "no parameter v; nearest is w", graft_params_write(w.params, "v", f, 12));
  refuses("read: null values", "values is null", graft_params_read(w.params, "w", nullptr, 12));
  refuses("read: negative count", "has 12 elements, -12 came", graft_params_read(w.params, "w", f, -12));
  refuses("moment: null values", "values is null", graft_params_read_moment(w.params, "w", 0, nullptr, 12));
  refuses("moment: null values to write", "values is null", graft_params_write_moment(w.params, "w", 0, nullptr, 12));
  refuses("moment: of what no plan trains", "w is not trained by any plan", graft_params_read_moment(w.params, "w", 0, f, 12));
  refuses("params describe: null", "params is null", graft_params_describe(nullptr, text, 64, &needed));

  refuses("graph: out null", "out is null", graft_graph_create(nullptr));
  refuses("input: null graph", "graph is null", graft_graph_input(nullptr, "a", GRAFT_F32, 2, dims, &value));
  refuses("input: null value", "value is null", graft_graph_input(w.graph, "a", GRAFT_F32, 2, dims, nullptr));
  refuses("input: no such type", "no element type has the code -1", graft_graph_input(w.graph, "a", -1, 2, dims, &value));
  refuses("input: no dimensions", "input a has no dimensions", graft_graph_input(w.graph, "a", GRAFT_F32, 0, nullptr, &value));
  refuses("parameter: null value", "value is null", graft_graph_parameter(w.graph, "p", 2, dims, nullptr));
  refuses("node: null inputs", "inputs are null", graft_graph_node(w.graph, "relu", "r", nullptr, 1, "", &value));
  refuses("node: negative count", "count is negative", graft_graph_node(w.graph, "relu", "r", order, -1, "", &value));
  refuses("node: null operation", "op is null", graft_graph_node(w.graph, nullptr, "r", order, 1, "", &value));
  refuses("node: null value", "value is null", graft_graph_node(w.graph, "relu", "r", order, 1, "", nullptr));
  refuses("node: input of nowhere", "input x is value 99", graft_graph_node(w.graph, "relu", "r", far, 1, "", &value));
  refuses("node: broken attributes", "is not key=number", graft_graph_node(w.graph, "relu", "r", order, 1, "inplace", &value));
  refuses("output: value of nowhere", "value -7 does not exist", graft_graph_output(w.graph, "z", -7));
  refuses("dims: null rank", "rank is null", graft_graph_dims(w.graph, w.y, nullptr, dims));
  refuses("dims: null dims", "dims is null", graft_graph_dims(w.graph, w.y, &rank, nullptr));
  refuses("dims: value of nowhere", "value 99 does not exist", graft_graph_dims(w.graph, 99, &rank, dims));

  graft_plan* plan = nullptr;
  refuses("compile: null device", "device is null", graft_plan_compile(nullptr, w.graph, w.params, "", &plan));
  refuses("compile: null graph", "graph is null", graft_plan_compile(w.device, nullptr, w.params, "", &plan));
  refuses("compile: null params", "params is null", graft_plan_compile(w.device, w.graph, nullptr, "", &plan));
  refuses("compile: null options", "options is null", graft_plan_compile(w.device, w.graph, w.params, nullptr, &plan));
  refuses("compile: null out", "out is null", graft_plan_compile(w.device, w.graph, w.params, "batch 2", nullptr));
  refuses("plan precision: null", "precision is null", graft_plan_precision(w.plan, nullptr));
  refuses("plan describe: null", "plan is null", graft_plan_describe(nullptr, text, 64, &needed));
  refuses("plan memory: null", "plan is null", graft_plan_memory(nullptr, text, 64, &needed));
  refuses("workspace: null out", "out is null", graft_workspace_create(w.device, nullptr));
  refuses("session: null workspace", "workspace is null", graft_session_create(w.plan, nullptr, &w.session));
  refuses("session: null out", "out is null", graft_session_create(w.plan, w.workspace, nullptr));

  refuses("session write: null address", "the address is null", graft_session_write(w.session, "x", 0, 24));
  refuses("session write: negative bytes", "bytes are negative", graft_session_write(w.session, "x", there, -24));
  refuses("session write: null name", "input is null", graft_session_write(w.session, nullptr, there, 24));
  void* at = nullptr;
  refuses("session numbers: null session", "session is null", graft_session_numbers(nullptr, "rate", &at, &needed));
  refuses("session numbers: null name", "name is null", graft_session_numbers(w.session, nullptr, &at, &needed));
  refuses("session numbers: no such part", "no ratio; nearest is rate", graft_session_numbers(w.session, "ratio", &at, &needed));
  refuses("session numbers: null address", "address is null", graft_session_numbers(w.session, "rate", nullptr, &needed));
  refuses("session numbers: null bytes", "bytes is null", graft_session_numbers(w.session, "rate", &at, nullptr));
  refuses("session updates: of a plan that trains nothing", "the plan trains nothing", graft_session_updates(w.session, 1));
  const int64_t addresses[] = {there}, none[] = {0}, few[] = {12}, below[] = {-24}, all[] = {24};
  refuses("session turn: null session", "session is null", graft_session_turn(nullptr, 1, nullptr, nullptr, nullptr, 0));
  refuses("session turn: no such phase", "phases are 16", graft_session_turn(w.session, 16, nullptr, nullptr, nullptr, 0));
  refuses("session turn: update without an optimizer", "compiled without an optimizer", graft_session_turn(w.session, GRAFT_UPDATE, nullptr, nullptr, nullptr, 0));
  refuses("session turn: null names", "inputs is null", graft_session_turn(w.session, 1, nullptr, addresses, all, 1));
  refuses("session turn: null addresses", "addresses is null", graft_session_turn(w.session, 1, "x", nullptr, all, 1));
  refuses("session turn: null bytes", "bytes is null", graft_session_turn(w.session, 1, "x", addresses, nullptr, 1));
  refuses("session turn: negative bytes", "input x: the bytes are negative", graft_session_turn(w.session, 1, "x", addresses, below, 1));
  refuses("session turn: negative count", "0 to 16 inputs, not -1", graft_session_turn(w.session, 1, "x", addresses, all, -1));
  refuses("session turn: wrong bytes", "takes 24 bytes, 12 came", graft_session_turn(w.session, 1, "x", addresses, few, 1));
  refuses("session turn: too few names", "no input ; the plan has: x", graft_session_turn(w.session, 1, "", addresses, all, 1));
  refuses("session read: null address", "the address is null", graft_session_read(w.session, "y", 0, 32));
  refuses("session read: wrong bytes", "is 32 bytes, room for 12", graft_session_read(w.session, "y", there, 12));
  refuses("session size: null count", "count is null", graft_session_size(w.session, "y", nullptr));
  refuses("session find: null session", "session is null", graft_session_find_nonfinite(nullptr, 7, text, 64, &needed));
  refuses("session profile: needed null", "needed is null", graft_session_profile(w.session, 1, text, 64, nullptr));

  harness.test("text is cut to the room, ends with a zero, and its size is told", [&] {
    char few[5] = {'x', 'x', 'x', 'x', 'x'};
    harness.expect(graft_plan_describe(w.plan, few, 4, &needed) == GRAFT_OK && needed > 5, "needed ", needed);
    harness.expect(few[3] == 0 && few[4] == 'x', "written past the room");
    std::string whole(needed, 'x');
    graft_plan_describe(w.plan, whole.data(), needed, &needed);
    harness.expect(whole.back() == 0 && whole[needed - 2] == '}', "the text is not whole");
    harness.expect(graft_plan_describe(w.plan, nullptr, 0, &needed) == GRAFT_OK, "no text at all is a way to ask for the size");
  });
  harness.test("a turn runs on what was written and leaves the next input", [&] {
    const float first[6] = {1, 2, 3, 4, 5, 6}, second[6] = {7, 8, 9, 10, 11, 12};
    const int64_t next[] = {reinterpret_cast<int64_t>(second)};
    float y[8] = {};
    harness.expect(graft_session_write(w.session, "x", reinterpret_cast<int64_t>(first), 24) == GRAFT_OK, graft_last_error());
    harness.expect(graft_session_turn(w.session, GRAFT_FORWARD, "x", next, all, 1) == GRAFT_OK, graft_last_error());
    harness.expect(graft_session_read(w.session, "y", reinterpret_cast<int64_t>(y), 32) == GRAFT_OK && y[0] == 1, "y begins with ", y[0]);
    const int64_t before = graft_calls();
    harness.expect(graft_session_turn(w.session, GRAFT_FORWARD, "x", none, all, 1) == GRAFT_OK, graft_last_error());
    harness.expect(graft_calls() == before + 1, "a turn is counted as ", graft_calls() - before);
    harness.expect(graft_session_read(w.session, "y", reinterpret_cast<int64_t>(y), 32) == GRAFT_OK && y[0] == 7, "y begins with ", y[0]);
  });
  harness.test("closing nothing does nothing", [&] {
    graft_session_close(nullptr);
    graft_workspace_close(nullptr);
    graft_plan_close(nullptr);
    graft_graph_close(nullptr);
    graft_params_close(nullptr);
    graft_device_close(nullptr);
  });
  harness.test("handles may be closed in any order", [&] {
    auto order = std::make_unique<World>();
    graft_device_close(order->device);
    graft_params_close(order->params);
    graft_plan_close(order->plan);
    order->device = nullptr;
    order->params = nullptr;
    order->plan = nullptr;
    harness.expect(graft_session_turn(order->session, GRAFT_FORWARD, nullptr, nullptr, nullptr, 0) == GRAFT_OK, graft_last_error());
  });
  harness.test("a success clears the last message", [&] {
    graft_device_open(nullptr, 1, 1, nullptr);
    graft_graph_dims(w.graph, w.y, &rank, dims);
    harness.expect(std::string(graft_last_error()).empty(), "it still says ", graft_last_error());
  });
  return harness.finish();
}
