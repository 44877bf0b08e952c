// admin/status.cpp
//
// GET /status as JSON, indented, and as lines.
#include "admin/status.h"

#include "data/json.h"

namespace portloom::admin {

void append_time(std::string& to, WallTime time) {
  using namespace std::chrono;
  auto second = floor<seconds>(time);
  auto day = floor<days>(second);
  year_month_day date(day);
  hh_mm_ss clock(second - day);
  auto digits = [&to](size_t count, unsigned number) {
    std::string text(count, '0');
    for (size_t i = count; i-- > 0; number /= 10) text[i] = static_cast<char>('0' + number % 10);
    to += text;
  };
  auto part = [&](char before, unsigned number) {
    to += before;
    digits(2, number);
  };
  digits(4, static_cast<unsigned>(static_cast<int>(date.year())));
  part('-', static_cast<unsigned>(date.month()));
  part('-', static_cast<unsigned>(date.day()));
  part('T', static_cast<unsigned>(clock.hours().count()));
  part(':', static_cast<unsigned>(clock.minutes().count()));
  part(':', static_cast<unsigned>(clock.seconds().count()));
  to += 'Z';
}

void write_status(std::string& json, const Status& status, const std::vector<const pipeline::StatusSource*>& sources) {
  std::string loaded;
  append_time(loaded, status.config_loaded);
  data::JsonWriter writer(json, 2);
  writer.begin_object();
  writer.member("version", status.version);
  writer.member("state", status.state);
  writer.member("uptime", format_duration(std::chrono::floor<std::chrono::seconds>(status.uptime)));
  writer.key("config").begin_object();
  writer.member("hash", status.config_hash);
  writer.member("loaded_at", loaded);
  writer.member("last_reload_ok", status.reload_error.empty());
  if (!status.reload_error.empty()) writer.member("reload_error", status.reload_error);
  writer.key("files").begin_array();
  for (const std::string& file : status.config_files) writer.value(file);
  writer.end_array().end_object();
  writer.member("engine", status.engine);
  writer.member("workers", status.workers);
  writer.key("listeners").begin_object();
  for (const Status::Listener& listener : status.listeners)
    writer.key(listener.name).begin_object().member("address", listener.address).end_object();
  writer.end_object();
  for (const pipeline::StatusSource* source : sources) {
    std::string value;
    source->write_status(value);
    writer.key(source->name()).raw(value);
  }
  writer.end_object();
}

void write_text(std::string& text, const Status& status, const std::vector<const pipeline::StatusSource*>& sources) {
  text += "portloom " + status.version + ": " + status.state + ", up " +
          format_duration(std::chrono::floor<std::chrono::seconds>(status.uptime)) + ", " + status.engine + ", " +
          std::to_string(status.workers) + (status.workers == 1 ? " worker\n" : " workers\n");
  text += "configuration " + status.config_hash + " of ";
  append_time(text, status.config_loaded);
  if (!status.reload_error.empty()) text += "; the last reload was refused";
  text += '\n';
  for (const Status::Listener& listener : status.listeners) text += "listener " + listener.name + ' ' + listener.address + '\n';
  text += '\n';
  for (const pipeline::StatusSource* source : sources) source->write_text(text);
}

}  // namespace portloom::admin
