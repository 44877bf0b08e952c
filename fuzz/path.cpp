// fuzz/path.cpp
//
// Any bytes as a path: the normal form is normal, has no dot segments nor empty ones, and leaves the query alone.
#include <string>

#include "base/check.h"
#include "http/path.h"

using namespace portloom;
using namespace portloom::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Result<Target> once = normalize(input);
  if (!once) return 0;
  std::string text(once->text);
  Result<Target> twice = normalize(text);
  CHECK(twice && !twice->changed && twice->text == text);
  CHECK(once->changed || once->text.data() == input.data());
  CHECK(!once->changed || once->text != input);
  CHECK(once->path.starts_with('/'));
  CHECK(once->path.find("//") == std::string_view::npos && once->path.find("/./") == std::string_view::npos);
  CHECK(once->path.find("/../") == std::string_view::npos && !once->path.ends_with("/..") && !once->path.ends_with("/."));
  size_t question = input.find('?');
  CHECK(once->has_query == (question != std::string_view::npos));
  if (once->has_query) CHECK(once->query == input.substr(question + 1));
  return 0;
}
