// What a ceiling measures and prints: the line of JSON that dev.graft.pairs.Measurement reads.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

struct Request {
  std::string workload;
  std::string precision = "f32";  // f32 or bf16
  int threads = 2;
  int warmup = 1;
  int steps = 3;
};

struct Report {
  std::vector<double> milliseconds;             // one per step: the sum over the parts of the workload
  std::map<std::string, std::string> settings;  // time and choice of each part
};

// Wall times in milliseconds of `steps` calls, after `warmup` untimed ones.
std::vector<double> time_of(const Request& request, const std::function<void()>& call);
double median(std::vector<double> values);

// Processor seconds used by this process, and by everything on the machine but idling, since boot.
double own_seconds();
double machine_seconds();

void print(const Report& report, double others_percent);

// Sum over the convolutions and the classifier of ResNet-18 that the workload computes, batch 32, 224 x 224: of each
// part the fastest layout that oneDNN offers.
Report resnet18(const Request& request);

// x = a * x in place over an array that moves as many bytes as the workload must.
Report scale(const Request& request, size_t bytes);

// The product of an (m, k) and a (k, n) matrix.
Report product(const Request& request, int64_t m, int64_t n, int64_t k);
