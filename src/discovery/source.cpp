// discovery/source.cpp
//
// How it stands with a source that is asked over the network.
#include "discovery/source.h"

#include <algorithm>

#include "async/agenda.h"
#include "base/text.h"

namespace portloom::discovery {

Contact::Contact(std::string source, std::string file, Instant now) : source_(std::move(source)), path_(std::move(file)), confirmed_(now) {}

std::optional<std::string> Contact::kept() {
  if (path_.empty()) return std::nullopt;
  Result<std::optional<std::string>> kept = KeptFile::read(path_);
  file_ = std::make_unique<KeptFile>(path_);
  if (kept) return std::move(*kept);
  warning_ = kept.error().detail;
  return std::nullopt;
}

void Contact::heard(Instant now, bool steady) {
  fault_.clear();
  ++answers_;
  confirmed_ = now;
  if (steady) failures_ = 0;
}

Duration Contact::failed(std::string why) {
  fault_ = std::move(why);
  ++errors_;
  failures_ = std::min(failures_ + 1, 16U);
  Duration wait = std::min(again_most, again_first * (1 << (failures_ - 1)));
  return wait - Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(wait.count() / 2))));
}

void Contact::save(Instant now, const std::function<std::string()>& text) {
  if (file_ == nullptr || !unsaved_ || now < save_at_) return;
  unsaved_ = false;
  save_at_ = now + save_after;
  file_->write(text());
}

void Contact::finish(const std::function<std::string()>& text) {
  if (file_ != nullptr && unsaved_) file_->write(text());
  unsaved_ = false;
}

void Contact::write_status(data::JsonWriter& json) const {
  json.member("state", fault_.empty() ? "current" : "stale");
  json.member("age_s", static_cast<uint64_t>((Agenda::current().now() - confirmed_) / 1s));
  if (!fault_.empty()) json.member("error", fault_);
  if (!path_.empty()) json.member("file", path_);
  std::string file_fault = file_ == nullptr ? std::string() : file_->fault();
  if (!file_fault.empty()) json.member("file_error", file_fault);
}

void Contact::write_metrics(std::string& page, std::span<const Contact* const> contacts) {
  page += "# HELP portloom_discovery_age_seconds Since a source of endpoints last said what is so.\n";
  page += "# TYPE portloom_discovery_age_seconds gauge\n";
  for (const Contact* one : contacts) {
    page += "portloom_discovery_age_seconds{source=\"" + one->source_ + "\"} ";
    append_number(page, static_cast<uint64_t>((Agenda::current().now() - one->confirmed_) / 1s));
    page += '\n';
  }
  page += "# HELP portloom_discovery_answers_total Answers of a source of endpoints.\n# TYPE portloom_discovery_answers_total counter\n";
  for (const Contact* one : contacts) {
    std::string labels = "portloom_discovery_answers_total{source=\"" + one->source_ + "\",outcome=";
    page += labels + "\"ok\"} " + std::to_string(one->answers_) + "\n";
    page += labels + "\"failed\"} " + std::to_string(one->errors_) + "\n";
  }
}

}  // namespace portloom::discovery
