// pipeline/fork.h
//
// Fork: a request of its own for one of several calls that are made for another request: its head without what describes its body or
// asks for less than a whole answer, an empty body, and a line of its own in the record. Lives in the frame of the call; the request it
// was made from outlives it.
#pragma once

#include <string_view>

#include "pipeline/service.h"

namespace portloom::pipeline {

struct Fork {
  // `method` is a token.
  Fork(Request& whole, std::string_view method);
  Fork(const Fork&) = delete;

 private:
  Record::Call spare_;  // its line once the record has calls_max of them

 public:
  Request request;
};

}  // namespace portloom::pipeline
