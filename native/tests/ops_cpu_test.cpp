// The CPU column on the ladder (ladder.h), on every instruction set of this machine (GRAFT_ISA forces one; without it the test
// runs itself once for each).
#include <sys/wait.h>
#include <unistd.h>

#include "ladder.h"

using namespace graft;
using namespace graft::test;

namespace {

// Not against the reference: next to the kink its sums decide otherwise.
void recomputed_results(Harness& harness, Column& column) {
  const OpDef& op = *find_op("batch_norm");
  for (const OpTest& t : all_op_tests())
    for (const OpCase& c : t.cases)
      for (DType storage : {DType::F32, DType::BF16}) {
        if (t.op != "batch_norm" || !c.batch_statistics || !column.computes(storage)) continue;
        Variation v{"", {GradMode::Overwrite, GradMode::Overwrite, GradMode::Overwrite, GradMode::Ignore, GradMode::Ignore}};
        v.epilogue.activation = Activation::Relu;
        for (bool second : {false, true}) {
          v.second_gradient = second;
          harness.test(text("batch_norm/", c.label, "/", name_of(storage), second ? "/second_gradient" : "", ": worked out again, the slope gives the same bits"), [&] {
            Data data = make_data(op, c, harness.seed());
            Variation forward = v, again = v;
            forward.modes.clear();
            again.recomputes = true;
            harness.expect(column.recomputes(make_request(op, c, storage, Pass::Backward, v)), "the column cannot");
            std::vector<double> activated = run_case(harness, column, op, c, data, storage, forward).outputs[0];
            harness.expect(run_case(harness, column, op, c, data, storage, v, activated).bytes == run_case(harness, column, op, c, data, storage, again).bytes,
                            "other bits");
          });
        }
      }
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> all{"sse4"};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back("avx2");
  if (all.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    all.push_back("avx512");
    if (__builtin_cpu_supports("avx512bf16")) all.push_back("avx512bf16");
  }
  return all;
}

// Runs this program again under one instruction set, passes its lines on and adds its counts.
void run_under(Harness& harness, const std::string& isa, char** argv) {
  int ends[2];
  require(pipe(ends) == 0, "no pipe");
  std::fflush(stdout);
  pid_t child = fork();
  require(child >= 0, "no process");
  if (child == 0) {
    setenv("GRAFT_ISA", isa.c_str(), 1);
    setenv("OMP_WAIT_POLICY", "passive", 0);  // kernels this small would spin for most of the time
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execv("/proc/self/exe", argv);
    _exit(127);
  }
  close(ends[1]);
  FILE* lines = fdopen(ends[0], "r");
  char line[4096];
  int run = 0, failed = 0, status = 0;
  bool counted = false;
  while (std::fgets(line, sizeof line, lines)) {
    if (std::sscanf(line, "Tests run: %d, Failures: %d", &run, &failed) == 2) counted = true;
    else std::printf("[%s] %s", isa.c_str(), line);
  }
  std::fclose(lines);
  waitpid(child, &status, 0);
  harness.add(run, failed);
  harness.test(isa + " ran to its end", [&] {
    harness.expect(counted && WIFEXITED(status), "the process ended with status ", status, " before it had counted");
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  if (!std::getenv("GRAFT_ISA")) {
    for (const std::string& isa : instruction_sets()) run_under(harness, isa, argv);
    return harness.finish();
  }
  auto column = make_cpu_column(make_reference_column());
  column->enter_lane(2);
  Ladder ladder(harness, *column);
  ladder.operations();
  recomputed_results(harness, *column);
  ladder.infinite_logits();
  ladder.cross_entropy_rows(column->computes(DType::BF16) ? std::vector<DType>{DType::F32, DType::BF16} : std::vector<DType>{DType::F32}, true);
  ladder.products();
  ladder.services();
  return harness.finish();
}
