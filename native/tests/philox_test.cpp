// Native random numbers against the golden table that the Java side is held to.
#include <fstream>
#include <sstream>

#include "harness.h"

using namespace graft;
using namespace graft::test;

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  harness.test("the golden table", [&] {
    std::string path = std::string(GRAFT_SOURCE_ROOT) + "/java/engine/src/test/resources/philox.csv", line;
    std::ifstream file(path);
    require(file.good(), path, " cannot be read");
    std::getline(file, line);
    int rows = 0;
    while (std::getline(file, line)) {
      // seed, operation, key, sample, visit, element, bits, uniform; no operation holds a comma
      std::vector<std::string> cells;
      std::istringstream parts(line);
      for (std::string cell; std::getline(parts, cell, ',');) cells.push_back(cell);
      require(cells.size() == 8, path, ": expected 8 cells, got: ", line);
      uint64_t key = philox::key(static_cast<uint64_t>(std::stoll(cells[0])), cells[1]);
      harness.expect(key == std::stoull(cells[2], nullptr, 16), line, ": key ", std::hex, key);
      uint32_t bits = philox::bits(key, std::stoll(cells[3]), static_cast<int32_t>(std::stoll(cells[4])), std::stoll(cells[5]));
      harness.expect(bits == std::stoul(cells[6], nullptr, 16), line, ": bits ", std::hex, bits);
      harness.expect(philox::uniform(bits) == std::stof(cells[7]), line, ": uniform ", philox::uniform(bits));
      rows++;
    }
    harness.expect(rows >= 45, path, " has only ", rows, " rows, the table had 45");
  });
  return harness.finish();
}
