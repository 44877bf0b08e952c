// app/commands.h
//
// The small verbs of the command line.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "base/error.h"

namespace portloom::app {

// The configuration that `run --listen ADDRESS --to URL` stands for. Code::invalid: what is wrong with the two.
Result<std::string> forwarding_configuration(const std::string& listen, const std::string& to);

// `portloom key new NAME`: a fresh key and the line that makes it known. Exit status.
int key_new(const std::string& consumer, std::ostream& out, std::ostream& err);

// `portloom demo`: the shop, until it is interrupted. Exit status.
int demo(uint16_t port);

}  // namespace portloom::app
