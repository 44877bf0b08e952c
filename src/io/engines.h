// io/engines.h
//
// The two engines behind make_loop.
#pragma once

#include "io/loop.h"

namespace portloom::io {

Result<std::unique_ptr<Loop>> make_epoll_loop();
Result<std::unique_ptr<Loop>> make_uring_loop();

}  // namespace portloom::io
