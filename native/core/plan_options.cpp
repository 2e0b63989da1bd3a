#include "plan_options.h"

#include <sstream>

#include "nearest_name.h"
#include "number.h"

namespace graft {
namespace {

bool parse_switch(const std::string& value, const std::string& key) {
  require(value == "0" || value == "1", "plan option ", key, ": expected 0 or 1, \"", value, "\" came");
  return value == "1";
}

void parse_optimizer(const std::string& kind, const std::string& settings, OptimizerRequest& r) {
  require(kind == "sgd" || kind == "adam" || kind == "adamw", "optimizer ", kind, " is unknown; expected sgd, adam or adamw");
  r.kind = kind == "sgd" ? OptimizerKind::Sgd : kind == "adam" ? OptimizerKind::Adam : OptimizerKind::AdamW;
  std::istringstream pairs(settings);
  std::string pair;
  while (std::getline(pairs, pair, ',')) {
    size_t equals = pair.find('=');
    require(equals != std::string::npos, "optimizer setting \"", pair, "\" is not key=number");
    std::string key = pair.substr(0, equals);
    double x = parse_number(pair.substr(equals + 1), "optimizer setting " + key);
    if (key == "momentum") r.momentum = x;
    else if (key == "nesterov") r.nesterov = x != 0;
    else if (key == "beta1") r.beta1 = x;
    else if (key == "beta2") r.beta2 = x;
    else if (key == "eps") r.eps = x;
    else if (key == "clip") r.clip = x != 0;
    else if (key == "anchor") r.anchor = x != 0;
    else if (key == "watch") r.watch = x != 0;
    else if (key == "average") r.average = x;
    else throw Error(GRAFT_INVALID_ARGUMENT, text("optimizer setting ", key, " is unknown; nearest is ",
                     nearest_name(key, {"momentum", "nesterov", "beta1", "beta2", "eps", "clip", "anchor", "watch", "average"})));
  }
  require(r.momentum >= 0 && r.momentum < 1, "momentum is ", r.momentum, "; expected 0 <= momentum < 1");
  require(r.beta1 >= 0 && r.beta1 < 1 && r.beta2 >= 0 && r.beta2 < 1, "betas are ", r.beta1, ", ", r.beta2, "; expected 0 <= beta < 1");
  require(r.average >= 0 && r.average < 1, "average is ", r.average, "; expected 0 <= average < 1");
  require(r.eps > 0, "eps is ", r.eps, "; expected more than 0");
  require(!r.nesterov || r.momentum > 0, "nesterov needs a momentum above 0");
}

PlanOptions::Trained& last_trained(PlanOptions& o, const std::string& name, const char* key) {
  for (auto& t : o.trained)
    if (t.name == name) return t;
  throw Error(GRAFT_INVALID_ARGUMENT, text("plan option ", key, ": ", name, " is not among the trained parameters before it"));
}

}  // namespace

PlanOptions PlanOptions::parse(const std::string& lines) {
  PlanOptions o;
  std::istringstream in(lines);
  std::string line;
  std::set<std::string> seen;
  while (std::getline(in, line)) {
    if (line.empty()) continue;
    std::istringstream words(line);
    std::string key;
    words >> key;
    auto word = [&] {
      std::string w;
      require(static_cast<bool>(words >> w), "plan option line \"", line, "\" is incomplete");
      return w;
    };
    auto rest = [&] {
      std::string r;
      std::getline(words >> std::ws, r);
      require(!r.empty(), "plan option line \"", line, "\" is incomplete");
      return r;
    };
    if (key == "mode") {
      std::string mode = word();
      require(mode == "train" || mode == "eval", "plan option mode: expected train or eval, ", mode, " came");
      o.train = mode == "train";
    } else if (key == "precision") {
      std::string p = word();
      require(p == "f32" || p == "bf16", "plan option precision: expected f32 or bf16, ", p, " came");
      o.compute = p == "f32" ? DType::F32 : DType::BF16;
    } else if (key == "batch") {
      int64_t n = parse_integer(word(), "plan option batch");
      require(n >= 1 && n <= (1 << 24), "plan option batch is ", n, "; expected 1 to 16777216");
      o.batch = static_cast<int>(n);
    } else if (key == "fold") {
      o.fold = parse_switch(word(), key);
    } else if (key == "fuse") {
      o.fuse = parse_switch(word(), key);
    } else if (key == "signs") {
      o.signs = parse_switch(word(), key);
    } else if (key == "accumulate") {
      o.accumulate = parse_switch(word(), key);
    } else if (key == "optimizer") {
      o.optimizer = true;
      std::string kind = word(), settings;
      words >> settings;
      parse_optimizer(kind, settings, o.update);
    } else if (key == "groups") {
      int64_t n = parse_integer(word(), "plan option groups");
      require(n >= 1 && n <= 1 << 20, "plan option groups is ", n, "; expected 1 to 1048576");
      o.groups = static_cast<int>(n);
    } else if (key == "train") {
      int64_t group = parse_integer(word(), "group of a train line");
      Trained t;
      t.group = static_cast<int>(group);
      t.name = rest();
      require(group >= 0 && group < o.groups, "parameter ", t.name, " is in group ", group, "; the plan has ", o.groups, " groups");
      require(seen.insert(t.name).second, "parameter ", t.name, " is trained in two groups");
      o.trained.push_back(std::move(t));
    } else if (key == "rows") {
      std::string name = word();
      int64_t first = parse_integer(word(), "first row of " + name), last = parse_integer(word(), "last row of " + name);
      Trained& t = last_trained(o, name, "rows");
      require(first >= 0 && first < last && (t.rows.empty() || first >= t.rows.back().second), "rows ", first, " to ", last, " of ", name,
              ": ranges ascend and are not empty");
      t.rows.emplace_back(first, last);
    } else if (key == "mask") {
      std::string name = word();
      last_trained(o, name, "mask").mask = rest();
    } else if (key == "track") {
      o.tracked.insert(rest());
    } else if (key == "keep") {
      o.kept.push_back(rest());
    } else if (key == "resident") {
      o.resident.insert(rest());
    } else if (key == "limit") {
      o.limit = parse_integer(word(), "plan option limit");
    } else if (key == "matmul" || key == "f32_products" || key == "tuning") {
      o.products.set(key, rest(), "plan option " + key);
    } else {
      throw Error(GRAFT_INVALID_ARGUMENT, text("plan option ", key, " is unknown; nearest is ",
                  nearest_name(key, {"mode", "precision", "batch", "fold", "fuse", "signs", "accumulate", "optimizer", "groups", "train", "rows", "mask", "track", "keep", "resident", "limit",
                                     "matmul", "f32_products", "tuning"})));
    }
    std::string more;
    require(!(words >> more), "plan option line \"", line, "\" has more than it takes");
  }
  require(o.train || (o.trained.empty() && o.tracked.empty() && !o.optimizer), "an eval plan trains nothing: use mode train");
  return o;
}

}  // namespace graft
