// app/demo_guide.h
//
// What the demo writes: its configuration, a picture of what runs where, what to try. Plain functions from facts to text; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portloom::app {

struct DemoFacts {
  struct Place {
    std::string name;
    std::string address;
  };
  std::vector<Place> services;  // as open_shop() has them
  std::string folder;           // where the files of the demo are
  std::string program;          // as a command names it
  std::string gateway;          // addresses as bound: empty until everything listens
  std::string admin;

  std::string file() const { return folder + "/shop.yaml"; }
  std::string access_log() const { return folder + "/access.log"; }
};

// The shop's YAML; a gateway that listens on `port`, 0 for a free one.
std::string demo_configuration(const DemoFacts& facts, uint16_t port);

// Bold on a terminal, plain in a pipe.
std::string demo_heading(const std::string& text);
// What runs where.
std::string demo_picture(const DemoFacts& facts);
// Commands for another terminal.
std::string demo_commands(const DemoFacts& facts);

}  // namespace portloom::app
