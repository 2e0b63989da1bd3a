#include "params.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "json.h"
#include "nearest_name.h"
#include "run_kernel.h"

namespace graft {
namespace {

int64_t row_elements(const Shape& shape) { return shape.count() / shape[0]; }

// Calls part(first element of the whole tensor, first element in the arena slot, elements) for each run of live rows.
template <class Part>
void each_part(const TrainableItem& item, const Shape& shape, Part part) {
  if (item.rows.empty()) {
    part(int64_t{0}, int64_t{0}, shape.count());
    return;
  }
  const int64_t width = row_elements(shape);
  int64_t at = 0;
  for (auto [first, last] : item.rows) {
    part(first * width, at, (last - first) * width);
    at += (last - first) * width;
  }
}

// Whether each of the rows `inner` is among `outer`; no ranges stand for all rows.
bool covers(const RowRanges& outer, const RowRanges& inner) {
  if (outer.empty()) return true;
  return !inner.empty() && std::all_of(inner.begin(), inner.end(), [&](const auto& i) {
    return std::any_of(outer.begin(), outer.end(), [&](const auto& o) { return o.first <= i.first && i.second <= o.second; });
  });
}

int64_t live_elements(const TrainableItem& item, const Shape& shape) {
  int64_t n = 0;
  each_part(item, shape, [&](int64_t, int64_t, int64_t count) { n += count; });
  return n;
}

}  // namespace

void Params::declare(const std::string& name, const Shape& shape, bool buffer, const std::string& origin) {
  std::unique_lock<std::shared_mutex> hold(lock_);
  require(!name.empty(), "a parameter has an empty name");
  require(!ids_.count(name), "parameter ", name, " is declared twice");
  for (int i = 0; i < shape.rank; i++) require(shape[i] > 0, "parameter ", name, ": dimension ", i, " is ", shape[i], "; expected at least 1");
  ids_[name] = static_cast<int>(entries_.size());
  entries_.emplace_back();
  Entry& e = entries_.back();
  e.name = name;
  e.shape = shape;
  e.buffer = buffer;
  e.origin = origin;
}

void Params::remove(const std::string& name) {
  std::unique_lock<std::shared_mutex> hold(lock_);
  const int at = id(name);
  require(!trainables_ || !trainables_->find(at), "parameter ", name, " is being trained: it cannot be removed");
  for (auto it = forms_.begin(); it != forms_.end();) {
    const auto form = it->second.lock();
    if (form) {
      const auto& sources = form->spec().sources;
      require(std::find(sources.begin(), sources.end(), at) == sources.end(), "parameter ", name, " is read by a plan: close the plan, then remove it");
    }
    it = form ? std::next(it) : forms_.erase(it);
  }
  ids_.erase(name);
  const uint64_t version = entries_[at].version;
  entries_[at] = Entry();
  entries_[at].version = version;
}

int Params::id(const std::string& name) const {
  auto it = ids_.find(name);
  if (it != ids_.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& e : entries_)
    if (!e.name.empty()) known.push_back(e.name);
  throw Error(GRAFT_INVALID_ARGUMENT, text("no parameter ", name, "; nearest is ", nearest_name(name, known)));
}

Params::Entry& Params::entry(const std::string& name) { return entries_[id(name)]; }

void Params::check_count(const Entry& e, int64_t count) const {
  require(count == e.shape.count(), "parameter ", e.name, " ", e.shape.str(), " has ", e.shape.count(), " elements, ", count, " came");
}

std::shared_ptr<OpenFile> Params::open_file(const std::string& path) {
  std::unique_lock<std::shared_mutex> hold(lock_);
  auto file = files_[path].lock();
  if (!file) files_[path] = file = std::make_shared<OpenFile>(path);
  return file;
}

void Params::source_file(const std::string& name, FileSource source) {
  std::unique_lock<std::shared_mutex> hold(lock_);
  Entry& e = entry(name);
  require(source.shape() == e.shape, "parameter ", name, ": expected ", e.shape.str(), ", ", source.file->path(), " gives ", source.shape().str());
  require(is_float(source.dtype), "parameter ", name, ": weights cannot be of type ", name_of(source.dtype));
  const int64_t bytes = source.file_shape.count() * static_cast<int64_t>(size_of(source.dtype));
  require(source.offset >= 0 && bytes <= source.file->size() && source.offset <= source.file->size() - bytes, "parameter ", name, ": ", bytes,
          " bytes from byte ", source.offset, " lie outside ", source.file->path(), " (", source.file->size(), " bytes)");
  require(!trainables_ || !trainables_->find(ids_[name]), "parameter ", name, " is being trained: write to it instead");
  e.file = std::move(source);
  e.file_is_truth = true;
  e.plain = Buffer();
  touch(ids_[name]);
}

const TrainableItem* Params::trained_in_place(int id) const {
  const TrainableItem* item = trainables_ ? trainables_->find(id) : nullptr;
  return item && item->rows.empty() ? item : nullptr;
}

void Params::write(const std::string& name, const float* values, int64_t count) {
  std::unique_lock<std::shared_mutex> hold(lock_);
  Entry& e = entry(name);
  check_count(e, count);
  Column& column = *device_->column;
  const int at = ids_[name];
  if (const TrainableItem* item = trained_in_place(at)) {
    column.copy_in(trainables_->weights.at(4 * item->offset), values, 4 * count);
  } else {
    if (!e.plain) e.plain = Buffer(column, 4 * count);
    column.copy_in(e.plain.address(), values, 4 * count);
    e.file_is_truth = false;
    if (const TrainableItem* rows = trainables_ ? trainables_->find(at) : nullptr) {
      each_part(*rows, e.shape, [&](int64_t whole, int64_t slot, int64_t n) {
        column.copy_in(trainables_->weights.at(4 * (rows->offset + slot)), values + whole, 4 * n);
      });
    }
  }
  touch(at);
}

void Params::read(const std::string& name, float* values, int64_t count) {
  std::shared_lock<std::shared_mutex> hold(lock_);
  Entry& e = entry(name);
  check_count(e, count);
  Column& column = *device_->column;
  if (const TrainableItem* item = trained_in_place(ids_[name])) {
    column.copy_out(values, trainables_->weights.at(4 * item->offset), 4 * count);
  } else if (e.file_is_truth) {
    e.file->load(values);
  } else {
    require(static_cast<bool>(e.plain), "parameter ", name, " has no value yet");
    column.copy_out(values, e.plain.address(), 4 * count);
  }
}

std::pair<const TrainableItem*, Buffer*> Params::moment_of(const std::string& name, int which, int64_t count) {
  Entry& e = entry(name);
  check_count(e, count);
  const TrainableItem* item = trainables_ ? trainables_->find(ids_[name]) : nullptr;
  require(item, "parameter ", name, " is not trained by any plan: it has no optimizer state");
  if (which == GRAFT_AVERAGE) {
    require(static_cast<bool>(trainables_->average), "parameter ", name, " has no moving average; compile with the optimizer's setting average=X");
    return {item, &trainables_->average};
  }
  require(which >= 0 && which < trainables_->moments, "parameter ", name, " has ", trainables_->moments, " moments; number ", which, " was asked for");
  return {item, &trainables_->moment[which]};
}

void Params::read_moment(const std::string& name, int which, float* values, int64_t count) {
  std::shared_lock<std::shared_mutex> hold(lock_);
  auto [item, moment] = moment_of(name, which, count);
  std::memset(values, 0, 4 * count);
  if (which == GRAFT_AVERAGE && !item->rows.empty()) device_->column->copy_out(values, entries_[item->param].plain.address(), 4 * count);
  each_part(*item, shape(item->param), [&, item = item, moment = moment](int64_t whole, int64_t slot, int64_t n) {
    device_->column->copy_out(values + whole, moment->at(4 * (item->offset + slot)), 4 * n);
  });
}

void Params::write_moment(const std::string& name, int which, const float* values, int64_t count) {
  std::unique_lock<std::shared_mutex> hold(lock_);
  auto [item, moment] = moment_of(name, which, count);
  each_part(*item, shape(item->param), [&, item = item, moment = moment](int64_t whole, int64_t slot, int64_t n) {
    device_->column->copy_in(moment->at(4 * (item->offset + slot)), values + whole, 4 * n);
  });
}

void* Params::plain(int id) {
  Entry& e = entries_[id];
  ensure(!trained_in_place(id), e.name, ": is in the arena of trainables");
  if (!e.plain) {
    Buffer memory(*device_->column, 4 * e.shape.count());
    load(id, memory.address());
    e.plain = std::move(memory);
    e.file_is_truth = false;
  }
  return e.plain.address();
}

void Params::load(int id, void* to) {
  Entry& e = entries_[id];
  Column& column = *device_->column;
  if (const TrainableItem* item = trained_in_place(id)) {
    column.copy(to, trainables_->weights.at(4 * item->offset), 4 * item->count);
  } else if (e.file_is_truth) {
    std::vector<float> host(e.shape.count());
    e.file->load(host.data());
    column.copy_in(to, host.data(), 4 * host.size());
  } else {
    require(static_cast<bool>(e.plain), "parameter ", e.name, " has no value: neither a file nor a write gave one");
    column.copy(to, e.plain.address(), 4 * e.shape.count());
  }
}

bool Trainables::serves(const TrainSpec& spec) const {
  bool same = items.size() == spec.items.size() && (kind == spec.kind || spec.moments == 0) && moments >= spec.moments && (anchor || !spec.anchor) && (average || !spec.average);
  for (size_t i = 0; same && i < items.size(); i++)
    same = items[i].param == spec.items[i].param && items[i].rows == spec.items[i].rows && items[i].mask_path == spec.items[i].mask_path;
  return same;
}

int64_t Params::assign_places(std::vector<TrainableItem>& items) const {
  int64_t elements = 0, mask_bits = 0;
  for (auto& item : items) {
    item.offset = elements;
    item.count = live_elements(item, shape(item.param));
    elements += (item.count + 15) / 16 * 16;
    if (item.mask_path.empty()) continue;
    item.mask_offset = mask_bits;
    mask_bits += 8 * static_cast<int64_t>(aligned((item.count + 7) / 8));
  }
  return elements;
}

size_t Params::new_bytes(const TrainSpec& spec) const {
  if (trainables_ && trainables_->serves(spec)) return 0;
  std::vector<TrainableItem> items = spec.items;
  return 4 * static_cast<size_t>(assign_places(items)) * (2 + spec.moments + (spec.anchor ? 1 : 0) + (spec.average ? 1 : 0));
}

std::shared_ptr<Trainables> Params::trainables(const TrainSpec& spec) {
  const std::shared_ptr<Trainables> old = trainables_;
  if (old && old->serves(spec)) return old;
  Column& column = *device_->column;
  auto made = std::make_shared<Trainables>();
  made->items = spec.items;
  made->kind = spec.kind;
  made->moments = spec.moments;
  const bool continues = old && old->kind == spec.kind;
  made->updates = continues ? old->updates : 0;
  made->elements = assign_places(made->items);
  auto buffer = [&] {
    Buffer b(column, 4 * static_cast<size_t>(made->elements));
    b.clear();
    return b;
  };
  made->weights = buffer();
  made->gradients = buffer();
  for (int m = 0; m < spec.moments; m++) made->moment[m] = buffer();
  if (spec.anchor) made->anchor = buffer();
  if (spec.average) made->average = buffer();
  for (auto& item : made->items) {
    const Shape& whole = shape(item.param);
    Buffer value(column, 4 * whole.count());
    load(item.param, value.address());
    each_part(item, whole, [&](int64_t from, int64_t slot, int64_t n) {
      column.copy(made->weights.at(4 * (item.offset + slot)), value.at(4 * from), 4 * n);
    });
    // Moments of rows that were not trained before would be younger than the rest: then the tensor starts anew.
    const TrainableItem* before = continues ? old->find(item.param) : nullptr;
    if (before && !covers(before->rows, item.rows)) before = nullptr;
    item.born = before ? before->born : made->updates;
    auto move = [&](const Buffer& was, Buffer& is) {
      each_part(*before, whole, [&](int64_t to, int64_t slot, int64_t n) { column.copy(value.at(4 * to), was.at(4 * (before->offset + slot)), 4 * n); });
      each_part(item, whole, [&](int64_t from, int64_t slot, int64_t n) { column.copy(is.at(4 * (item.offset + slot)), value.at(4 * from), 4 * n); });
    };
    if (spec.average) {  // begins as the weights themselves
      column.copy(made->average.at(4 * item.offset), made->weights.at(4 * item.offset), 4 * item.count);
      if (before && old->average) move(old->average, made->average);
    }
    for (int m = 0; before && m < std::min(old->moments, spec.moments); m++) move(old->moment[m], made->moment[m]);
    if (spec.anchor) load_anchor(item.param, item, made->anchor);
  }
  load_mask(*made);
  // What leaves the arena, or trains in some rows only from now on, gets a plain copy; what enters it whole gives its plain copy up.
  if (old) {
    for (const auto& item : old->items) {
      const TrainableItem* after = made->find(item.param);
      if (!item.rows.empty() || (after && after->rows.empty())) continue;
      Entry& e = entries_[item.param];
      Buffer memory(column, 4 * item.count);
      column.copy(memory.address(), old->weights.at(4 * item.offset), 4 * item.count);
      e.plain = std::move(memory);
      e.file_is_truth = false;
    }
  }
  for (const auto& item : made->items) {
    if (!item.rows.empty()) {
      if (!trained_in_place(item.param)) plain(item.param);
      continue;
    }
    entries_[item.param].plain = Buffer();
    entries_[item.param].file_is_truth = false;
  }
  trainables_ = made;
  return made;
}

void Params::load_anchor(int id, const TrainableItem& item, Buffer& anchor) {
  const Entry& e = entries_[id];
  if (!e.file) return;  // a parameter that no file gave is pulled to zero
  std::vector<float> host(e.shape.count());
  e.file->load(host.data());
  each_part(item, e.shape, [&](int64_t whole, int64_t slot, int64_t n) {
    device_->column->copy_in(anchor.at(4 * (item.offset + slot)), host.data() + whole, 4 * n);
  });
}

void Params::load_mask(Trainables& t) {
  std::vector<uint8_t> bits;
  for (const auto& item : t.items) {
    if (item.mask_path.empty()) continue;
    OpenFile file(item.mask_path);
    const int64_t bytes = (item.count + 7) / 8;
    require(file.size() == bytes, "mask ", item.mask_path, " of ", name(item.param), ": expected ", bytes, " bytes for ", item.count,
            " elements, it has ", file.size());
    bits.resize(item.mask_offset / 8 + aligned(bytes));
    file.read(0, bits.data() + item.mask_offset / 8, bytes);
  }
  if (bits.empty()) return;
  t.mask = Buffer(*device_->column, bits.size());
  device_->column->copy_in(t.mask.address(), bits.data(), bits.size());
}

std::shared_ptr<Form> Params::find_form(const std::string& key) const {
  auto it = forms_.find(key);
  return it == forms_.end() ? nullptr : it->second.lock();
}

std::string Params::describe() const {
  std::shared_lock<std::shared_mutex> hold(lock_);
  Json json;
  json.begin_object().key("parameters").begin_array();
  for (size_t i = 0; i < entries_.size(); i++) {
    const Entry& e = entries_[i];
    if (e.name.empty()) continue;
    const char* where = trained_in_place(static_cast<int>(i)) ? "trained" : e.file_is_truth ? "file" : e.plain ? "memory" : "nowhere";
    json.begin_object().field("name", e.name).key("dims").begin_array();
    for (int d = 0; d < e.shape.rank; d++) json.number(e.shape[d]);
    json.end_array().field("buffer", e.buffer).field("origin", e.origin).field("where", where).end_object();
  }
  json.end_array().key("forms").begin_array();
  for (const auto& [key, weak] : forms_)
    if (auto form = weak.lock()) json.begin_object().field("key", key).field("bytes", static_cast<int64_t>(form->bytes())).end_object();
  json.end_array().end_object();
  return json.text();
}

}  // namespace graft
