#include "params.h"

#include <cstring>
#include <mutex>

#include "json.h"
#include "nearest_name.h"
#include "run_kernel.h"

namespace graft {
namespace {

void zero(Column& column, const Buffer& buffer) {
  if (!buffer) return;
  std::vector<char> zeros(std::min<size_t>(buffer.bytes(), 1 << 20));
  for (size_t at = 0; at < buffer.bytes(); at += zeros.size())
    column.copy_in(buffer.at(at), zeros.data(), std::min(zeros.size(), buffer.bytes() - at));
}

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

int Params::id(const std::string& name) const {
  auto it = ids_.find(name);
  if (it != ids_.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& e : entries_) known.push_back(e.name);
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
  require(source.offset >= 0 && source.offset + bytes <= source.file->size(), "parameter ", name, ": bytes ", source.offset, " to ",
          source.offset + bytes, " lie outside ", source.file->path(), " (", source.file->size(), " bytes)");
  require(!trained_in_place(ids_[name]), "parameter ", name, " is being trained: write to it instead");
  e.file = std::move(source);
  e.file_is_truth = true;
  e.plain = Buffer();
  e.version++;
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
  e.version++;
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
  require(which >= 0 && which < trainables_->moments, "parameter ", name, " has ", trainables_->moments, " moments; number ", which, " was asked for");
  return {item, &trainables_->moment[which]};
}

void Params::read_moment(const std::string& name, int which, float* values, int64_t count) {
  std::shared_lock<std::shared_mutex> hold(lock_);
  auto [item, moment] = moment_of(name, which, count);
  std::memset(values, 0, 4 * count);
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

size_t Params::new_bytes(const TrainSpec& spec) const {
  int64_t elements = 0;
  bool same = trainables_ && trainables_->items.size() == spec.items.size();
  for (size_t i = 0; i < spec.items.size(); i++) {
    same = same && spec.items[i].same_place(trainables_->items[i]);
    elements += (live_elements(spec.items[i], shape(spec.items[i].param)) + 15) / 16 * 16;
  }
  const int copies = (same ? 0 : 2) + std::max(0, spec.moments - (same ? trainables_->moments : 0)) + (spec.anchor && !(same && trainables_->anchor) ? 1 : 0);
  return 4 * static_cast<size_t>(elements) * copies;
}

std::shared_ptr<Trainables> Params::trainables(const TrainSpec& spec) {
  Column& column = *device_->column;
  std::shared_ptr<Trainables> old = trainables_;
  bool same = old && old->items.size() == spec.items.size();
  for (size_t i = 0; same && i < spec.items.size(); i++) same = spec.items[i].same_place(old->items[i]) && spec.items[i].mask_path == old->items[i].mask_path;
  if (same && old->kind == spec.kind && old->moments >= spec.moments && (old->anchor || !spec.anchor)) return old;

  auto made = std::make_shared<Trainables>();
  made->items = spec.items;
  made->kind = spec.kind;
  made->moments = spec.moments;
  const bool continues = old && old->kind == spec.kind;
  made->updates = continues ? old->updates : 0;
  for (auto& item : made->items) {
    item.offset = made->elements;
    item.count = live_elements(item, shape(item.param));
    made->elements += (item.count + 15) / 16 * 16;
  }
  const size_t bytes = 4 * static_cast<size_t>(made->elements);
  made->weights = Buffer(column, bytes);
  made->gradients = Buffer(column, bytes);
  zero(column, made->weights);
  zero(column, made->gradients);
  for (int m = 0; m < spec.moments; m++) {
    made->moment[m] = Buffer(column, bytes);
    zero(column, made->moment[m]);
  }
  if (spec.anchor) {
    made->anchor = Buffer(column, bytes);
    zero(column, made->anchor);
  }
  for (auto& item : made->items) {
    const Shape& whole = shape(item.param);
    Buffer value(column, 4 * whole.count());
    load(item.param, value.address());
    each_part(item, whole, [&](int64_t from, int64_t slot, int64_t n) {
      column.copy(made->weights.at(4 * (item.offset + slot)), static_cast<char*>(value.address()) + 4 * from, 4 * n);
    });
    const TrainableItem* before = continues ? old->find(item.param) : nullptr;
    item.born = before ? before->born : made->updates;
    if (before && before->rows == item.rows)
      for (int m = 0; m < std::min(old->moments, spec.moments); m++)
        column.copy(made->moment[m].at(4 * item.offset), old->moment[m].at(4 * before->offset), 4 * item.count);
    if (spec.anchor) load_anchor(item.param, item, made->anchor);
  }
  load_mask(*made);
  // What leaves the arena gets a plain copy; what enters it whole gives its plain copy up.
  if (old) {
    for (const auto& item : old->items) {
      if (!item.rows.empty() || made->find(item.param)) continue;
      Entry& e = entries_[item.param];
      Buffer memory(column, 4 * item.count);
      column.copy(memory.address(), old->weights.at(4 * item.offset), 4 * item.count);
      e.plain = std::move(memory);
      e.file_is_truth = false;
    }
  }
  std::vector<int> partial;
  for (const auto& item : made->items) {
    if (!item.rows.empty()) { partial.push_back(item.param); continue; }
    entries_[item.param].plain = Buffer();
    entries_[item.param].file_is_truth = false;
  }
  trainables_ = made;
  for (int id : partial) plain(id);
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
    if (item.mask_path.empty()) {
      t.mask_offsets.push_back(-1);
      continue;
    }
    OpenFile file(item.mask_path);
    const int64_t bytes = (item.count + 7) / 8;
    require(file.size() == bytes, "mask ", item.mask_path, " of ", name(item.param), ": expected ", bytes, " bytes for ", item.count,
            " elements, it has ", file.size());
    t.mask_offsets.push_back(8 * static_cast<int64_t>(bits.size()));
    bits.resize((bits.size() + bytes + 63) / 64 * 64);
    file.read(0, bits.data() + t.mask_offsets.back() / 8, bytes);
  }
  if (bits.empty()) return;
  t.mask = Buffer(*device_->column, bits.size());
  device_->column->copy_in(t.mask.address(), bits.data(), bits.size());
}

std::shared_ptr<Form> Params::find_form(const std::string& key) const {
  auto it = forms_.find(key);
  return it == forms_.end() ? nullptr : it->second.lock();
}

Params::Bytes Params::bytes() const {
  Bytes b;
  for (const auto& e : entries_) b.plain += e.plain.bytes();
  for (const auto& [key, weak] : forms_)
    if (auto form = weak.lock()) b.packed += form->bytes();
  if (trainables_) {
    b.trained = trainables_->weights.bytes();
    b.gradients = trainables_->gradients.bytes();
    b.moments = trainables_->state_bytes();
    b.anchor = trainables_->anchor.bytes() + trainables_->mask.bytes();
  }
  return b;
}

std::string Params::describe() const {
  std::shared_lock<std::shared_mutex> hold(lock_);
  Json json;
  json.begin_object().key("parameters").begin_array();
  for (size_t i = 0; i < entries_.size(); i++) {
    const Entry& e = entries_[i];
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
