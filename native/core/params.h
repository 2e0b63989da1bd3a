// The parameter store: where the truth of every parameter is (a file, plain memory, or the arena of trainables), and every
// derived form of it that plans borrow. A frozen tensor read from a file has no plain copy: its packed form is the only one.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "buffer.h"
#include "device.h"
#include "file_source.h"
#include "form.h"
#include "trainables.h"

namespace graft {

class Params {
 public:
  explicit Params(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  void declare(const std::string& name, const Shape& shape, bool buffer, const std::string& origin);
  // Forgets a parameter that no plan reads or trains, and frees its bytes; the name may be declared anew.
  void remove(const std::string& name);
  // One descriptor per file, however many tensors it holds.
  std::shared_ptr<OpenFile> open_file(const std::string& path);
  void source_file(const std::string& name, FileSource source);
  void write(const std::string& name, const float* values, int64_t count);
  void read(const std::string& name, float* values, int64_t count);
  void read_moment(const std::string& name, int which, float* values, int64_t count);
  void write_moment(const std::string& name, int which, const float* values, int64_t count);

  // Id of a declared parameter; throws naming the nearest.
  int id(const std::string& name) const;
  const std::string& name(int id) const { return entries_[id].name; }
  const Shape& shape(int id) const { return entries_[id].shape; }
  bool is_buffer(int id) const { return entries_[id].buffer; }

  // What follows is for plans, under `lock`.
  // Gives every item its place in the arena and in the mask; returns the arena's elements.
  int64_t assign_places(std::vector<TrainableItem>& items) const;
  // Bytes that trainables(spec) would newly take.
  size_t new_bytes(const TrainSpec& spec) const;
  // The arena for this set, made if the present one is another's. Values and moments of parameters that stay move over.
  std::shared_ptr<Trainables> trainables(const TrainSpec& spec);
  std::shared_ptr<Trainables> present_trainables() const { return trainables_; }
  // Plain F32 memory that is the truth of this parameter from now on (statistics that are updated, rows of a mask).
  void* plain(int id);
  bool has_plain(int id) const { return static_cast<bool>(entries_[id].plain); }
  // Copies the value, F32 row-major, to column memory.
  void load(int id, void* to);
  // The value of this parameter changed. Versions are read under `lock` too.
  void touch(int id) { entries_[id].version = ++version_; }
  uint64_t version(int id) const { return entries_[id].version; }
  // Of the whole store: the same as long as no value changed.
  uint64_t version() const { return version_; }
  // A form by key, shared by all plans that ask for it while one holds it.
  std::shared_ptr<Form> find_form(const std::string& key) const;
  void remember_form(const std::string& key, const std::shared_ptr<Form>& form) { forms_[key] = form; }

  std::string describe() const;
  Device& device() const { return *device_; }
  // Readers: runs that only read parameters. Writers: updates, writes, rebuilding of forms.
  std::shared_mutex& lock() { return lock_; }

 private:
  struct Entry {
    std::string name;  // "" where it was removed: plans hold ids, so the place stays
    Shape shape;
    bool buffer = false;
    std::string origin;
    std::optional<FileSource> file;
    Buffer plain;
    bool file_is_truth = false;
    uint64_t version = 0;  // of the store when the value last changed
  };
  Entry& entry(const std::string& name);
  const TrainableItem* trained_in_place(int id) const;  // the arena holds the whole truth of it
  void check_count(const Entry& e, int64_t count) const;
  void load_anchor(int id, const TrainableItem& item, Buffer& anchor);
  void load_mask(Trainables& t);
  std::pair<const TrainableItem*, Buffer*> moment_of(const std::string& name, int which, int64_t count);

  std::shared_ptr<Device> device_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, int> ids_;
  std::shared_ptr<Trainables> trainables_;
  std::map<std::string, std::weak_ptr<Form>> forms_;
  std::map<std::string, std::weak_ptr<OpenFile>> files_;
  uint64_t version_ = 0;
  mutable std::shared_mutex lock_;
};

}  // namespace graft
