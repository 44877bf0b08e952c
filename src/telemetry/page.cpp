// telemetry/page.cpp
//
// The text format: https://prometheus.io/docs/instrumenting/exposition_formats/.
#include "telemetry/page.h"

#include <charconv>

#include "base/text.h"

namespace portloom::telemetry {
namespace {

void append_label_value(std::string& to, std::string_view text) {
  for (char c : text) {
    if (c == '\\' || c == '"') to += '\\';
    if (c == '\n')
      to += "\\n";
    else
      to += c;
  }
}

void append_real(std::string& to, double number) {
  char digits[32];
  to.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

}  // namespace

void Page::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  to_.append("# HELP ").append(name).append(" ").append(help);
  to_.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

void Page::begin(std::string_view suffix, LabelList labels, std::string_view bound) {
  to_.append(name_).append(suffix);
  char separator = '{';
  for (const Label& label : labels) {
    to_ += separator;
    to_.append(label.name).append("=\"");
    append_label_value(to_, label.value);
    to_ += '"';
    separator = ',';
  }
  if (!bound.empty()) {
    to_ += separator;
    to_.append("le=\"").append(bound).append("\"");
    separator = ',';
  }
  if (separator == ',') to_ += '}';
  to_ += ' ';
}

void Page::sample(LabelList labels, uint64_t number) {
  begin({}, labels);
  append_number(to_, number);
  to_ += '\n';
}

void Page::sample(LabelList labels, int64_t number) {
  begin({}, labels);
  if (number < 0) to_ += '-';
  append_number(to_, number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number));
  to_ += '\n';
}

void Page::sample(LabelList labels, double number) {
  begin({}, labels);
  append_real(to_, number);
  to_ += '\n';
}

void Page::sample(LabelList labels, const Histogram::Total& total) {
  uint64_t count = 0;
  for (size_t i = 0; i < total.buckets.size(); ++i) {
    count += total.buckets[i];
    begin("_bucket", labels, i < Histogram::labels.size() ? Histogram::labels[i] : "+Inf");
    append_number(to_, count);
    to_ += '\n';
  }
  begin("_sum", labels);
  append_real(to_, static_cast<double>(total.nanoseconds) / 1e9);
  to_ += '\n';
  begin("_count", labels);
  append_number(to_, total.count);
  to_ += '\n';
}

}  // namespace portloom::telemetry
