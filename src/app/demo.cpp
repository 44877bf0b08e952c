// app/demo.cpp
//
// The shop.
#include "app/commands.h"

namespace portloom::app {

int demo(uint16_t) { return 70; }

}  // namespace portloom::app
