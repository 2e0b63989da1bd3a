#include "column.h"
namespace graft { std::unique_ptr<Column> make_cpu_column(std::unique_ptr<Column> f) { return f; } }
