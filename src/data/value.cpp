// data/value.cpp
//
// Looking up and merging Values.
#include "data/value.h"

#include <algorithm>

namespace portloom::data {

const Value::Entry* Value::find(std::string_view key) const {
  for (const Entry& entry : map)
    if (entry.key == key) return &entry;
  return nullptr;
}

Value::Entry* Value::find(std::string_view key) {
  for (Entry& entry : map)
    if (entry.key == key) return &entry;
  return nullptr;
}

std::string_view name_of(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::null: return "nothing";
    case Value::Kind::text: return "a text";
    case Value::Kind::list: return "a list";
    case Value::Kind::map: return "a map";
  }
  return "nothing";
}

void merge(Value& under, const Value& over) {
  if (!under.is_map() || !over.is_map()) {
    under = over;
    return;
  }
  for (const Value::Entry& entry : over.map) {
    Value::Entry* same = under.find(entry.key);
    if (entry.value.is_null()) {
      std::erase_if(under.map, [&](const Value::Entry& other) { return other.key == entry.key; });
    } else if (same == nullptr) {
      under.map.push_back(entry);
    } else {
      if (!same->value.is_map() || !entry.value.is_map()) same->at = entry.at;
      merge(same->value, entry.value);
    }
  }
}

}  // namespace portloom::data
