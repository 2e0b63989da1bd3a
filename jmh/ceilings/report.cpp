#include "report.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <sys/resource.h>
#include <unistd.h>

std::vector<double> time_of(const Request& request, const std::function<void()>& call) {
  using clock = std::chrono::steady_clock;
  for (int i = 0; i < request.warmup; i++) call();
  std::vector<double> milliseconds;
  for (int i = 0; i < request.steps; i++) {
    auto start = clock::now();
    call();
    milliseconds.push_back(std::chrono::duration<double, std::milli>(clock::now() - start).count());
  }
  return milliseconds;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double own_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double machine_seconds() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  file >> cpu;
  double busy = 0, ticks = 0;
  for (int i = 0; i < 8 && file >> ticks; i++) {
    bool idle = i == 3 || i == 4;  // idle, waiting for a disk
    if (!idle) busy += ticks;
  }
  return busy / static_cast<double>(sysconf(_SC_CLK_TCK));
}

static long peak_kilobytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stol(line.substr(6));
  throw std::runtime_error("/proc/self/status has no line VmHWM");
}

void print(const Report& report, double others_percent) {
  std::ostringstream out;
  out << "{\"stepMilliseconds\":[";
  for (size_t i = 0; i < report.milliseconds.size(); i++) out << (i ? "," : "") << report.milliseconds[i];
  out << "],\"peakKilobytes\":" << peak_kilobytes() << ",\"othersPercent\":" << others_percent
      << ",\"losses\":[],\"settings\":{";
  bool first = true;
  for (const auto& [name, value] : report.settings) {
    out << (first ? "" : ",") << '"' << name << "\":\"" << value << '"';
    first = false;
  }
  std::printf("%s}}\n", out.str().c_str());
}
