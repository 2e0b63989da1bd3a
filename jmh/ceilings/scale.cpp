#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <sys/mman.h>

#include "report.h"

// Two mappings are tried, in plain and in huge pages: the faster one is what the machine allows.
static std::vector<double> scale_in(const Request& request, size_t bytes, int advice) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory for " + std::to_string(bytes) + " bytes");
  madvise(memory, bytes, advice);
  float* x = static_cast<float*>(memory);
  int64_t n = static_cast<int64_t>(bytes / sizeof(float));
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; i++) x[i] = 1.0f;
  float a = 1.0001f;
  std::vector<double> milliseconds = time_of(request, [&] {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) x[i] = a * x[i];
  });
  munmap(memory, bytes);
  return milliseconds;
}

Report scale(const Request& request, size_t bytes) {
  std::vector<double> plain = scale_in(request, bytes, MADV_NOHUGEPAGE);
  std::vector<double> huge = scale_in(request, bytes, MADV_HUGEPAGE);
  bool plain_wins = median(plain) <= median(huge);
  Report report;
  report.milliseconds = plain_wins ? plain : huge;
  double best = median(report.milliseconds);
  report.settings["bytes"] = std::to_string(2 * bytes);
  report.settings["pages"] = plain_wins ? "plain" : "huge";
  report.settings["gigabytes_per_second"] = std::to_string(2e-6 * static_cast<double>(bytes) / best);
  report.settings["other_pages_ms"] = std::to_string(median(plain_wins ? huge : plain));
  return report;
}
