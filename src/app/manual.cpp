// app/manual.cpp
//
// Walks CLI11's table: verbs, their options, and the choices that stand in an option's type, "TEXT:{auto,epoll}".
#include "app/manual.h"

#include <iostream>
#include <vector>

namespace portloom::app {
namespace {

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  std::vector<const CLI::App*> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!verb->get_group().empty()) verbs.push_back(verb);
  return verbs;
}

// "key new": the words behind the program's name.
std::string words_of(const CLI::App& app) {
  if (app.get_parent() == nullptr) return {};
  std::string before = words_of(*app.get_parent());
  return (before.empty() ? "" : before + " ") + app.get_name();
}

// Calls f(verb) for each that does something itself, those of verbs included.
template <class F>
void each_verb(const CLI::App& app, F f) {
  for (const CLI::App* verb : verbs_of(app)) {
    if (verbs_of(*verb).empty()) f(*verb);
    each_verb(*verb, f);
  }
}

bool is_positional(const CLI::Option& option) { return option.get_lnames().empty() && option.get_snames().empty(); }

std::vector<std::string> flags_of(const CLI::Option& option) {
  std::vector<std::string> flags;
  for (const std::string& name : option.get_snames()) flags.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flags.push_back("--" + name);
  return flags;
}

std::vector<std::string> choices_of(const CLI::Option& option) {
  std::string type = option.get_type_name();
  size_t begin = type.find('{'), end = type.rfind('}');
  std::vector<std::string> choices;
  if (begin == std::string::npos || end == std::string::npos) return choices;
  for (size_t at = begin + 1; at <= end; ++at) {
    size_t comma = std::min(type.find(',', at), end);
    choices.push_back(type.substr(at, comma - at));
    at = comma;
  }
  return choices;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string join(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : between).append(word);
  return text;
}

// Troff takes a hyphen for one that may break a line, and a line that begins with a dot for a request.
std::string troff(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\\' || c == '-') escaped += '\\';
    if ((c == '.' || c == '\'') && (escaped.empty() || escaped.back() == '\n')) escaped += "\\&";
    escaped += c;
  }
  return escaped;
}

void write_option(std::string& page, const CLI::Option& option) {
  page += ".TP\n";
  if (is_positional(option)) {
    page += "\\fI" + troff(option.get_name()) + "\\fR\n";
  } else {
    page += "\\fB" + troff(join(flags_of(option), ", ")) + "\\fR";
    if (std::vector<std::string> choices = choices_of(option); !choices.empty())
      page += " " + troff(join(choices, "|"));
    else if (takes_value(option))
      page += " \\fIVALUE\\fR";
    page += "\n";
  }
  page += troff(option.get_description()) + "\n";
}

// `rest` of the page: what no table knows.
constexpr std::string_view rest = R"(.SH SIGNALS
.TP
.B SIGHUP
Loads the configuration again, as a changed file does. A bad one changes nothing and is told of on standard error.
.TP
.B SIGTERM\fR, \fBSIGINT
Begin the drain; a second one ends it.
.TP
.B SIGUSR1
Reopens the access log's file.
.SH EXIT STATUS
.TP
.B 0
All well.
.TP
.B 1
The configuration is wrong.
.TP
.B 2
The command line is wrong.
.TP
.B 3
An address cannot be listened on.
.TP
.B 4
A drain cut something.
.TP
.B 70
An internal failure.
.SH ENVIRONMENT
.TP
.B NOTIFY_SOCKET
Where a service manager is told of readiness, reloads and the end: see \fBsd_notify\fR(3).
.TP
.B XDG_CONFIG_HOME
Where \fIportloom/\fR is looked for when no file is named.
.SH FILES
\fI./portloom.yaml\fR, \fI$XDG_CONFIG_HOME/portloom/\fR, \fI/etc/portloom/\fR: the first that is there, when no file is named.
)";

// For a shell; nothing here holds a quote.
std::string in_quotes(std::string_view text) { return "'" + std::string(text) + "'"; }

std::string words_after(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* verb : verbs_of(app)) words.push_back(verb->get_name());
  for (const CLI::Option* option : app.get_options()) {
    if (is_positional(*option)) {
      for (const std::string& choice : choices_of(*option)) words.push_back(choice);
    } else {
      for (const std::string& flag : flags_of(*option)) words.push_back(flag);
    }
  }
  return join(words, " ");
}

void write_bash_cases(const CLI::App& app, std::string& words, std::string& values) {
  std::string path = words_of(app);
  words += "    " + in_quotes(path) + ") words=" + in_quotes(words_after(app)) + " ;;\n";
  for (const CLI::Option* option : app.get_options()) {
    std::vector<std::string> choices = choices_of(*option);
    if (is_positional(*option) || choices.empty()) continue;
    for (const std::string& flag : flags_of(*option))
      values += "    " + in_quotes(path + ":" + flag) + ") words=" + in_quotes(join(choices, " ")) + " ;;\n";
  }
  for (const CLI::App* verb : verbs_of(app)) write_bash_cases(*verb, words, values);
}

// Within '...' of zsh's _arguments: brackets and colons have a meaning there.
std::string zsh_text(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string zsh_function(const CLI::App& app) {
  std::string name = "_portloom";
  for (char c : words_of(app)) name += name.size() == 9 ? std::string("_") + c : std::string(1, c == ' ' || c == '-' ? '_' : c);
  return name;
}

void write_zsh(const CLI::App& app, std::string& text) {
  std::vector<const CLI::App*> verbs = verbs_of(app);
  text += zsh_function(app) + "() {\n";
  if (!verbs.empty()) text += "  local line state\n";
  text += "  _arguments -S";
  for (const CLI::Option* option : app.get_options()) {
    std::vector<std::string> choices = choices_of(*option);
    std::string value = choices.empty() ? ":value:_files" : ":value:(" + join(choices, " ") + ")";
    if (is_positional(*option)) {
      text += " \\\n    '" + std::string(option->get_items_expected_max() > 1 ? "*" : "") + value.insert(0, ":") + "'";
      continue;
    }
    for (const std::string& flag : flags_of(*option))
      text += " \\\n    '" + flag + "[" + zsh_text(option->get_description()) + "]" + (takes_value(*option) ? value : "") + "'";
  }
  if (verbs.empty()) {
    text += "\n}\n\n";
    return;
  }
  text += " \\\n    '1:verb:->verb' '*::argument:->argument'\n  case $state in\n    verb)\n      local -a verbs=(\n";
  for (const CLI::App* verb : verbs) text += "        '" + verb->get_name() + ":" + zsh_text(verb->get_description()) + "'\n";
  text += "      )\n      _describe verb verbs ;;\n    argument)\n      case $line[1] in\n";
  for (const CLI::App* verb : verbs) text += "        " + verb->get_name() + ") " + zsh_function(*verb) + " ;;\n";
  text += "      esac ;;\n  esac\n}\n\n";
  for (const CLI::App* verb : verbs) write_zsh(*verb, text);
}

}  // namespace

std::string man_page(const CLI::App& app) {
  std::string page = ".\\\" Made by `portloom manual`; do not edit.\n.TH PORTLOOM 1 \"\" \"Portloom " PORTLOOM_VERSION
                     "\"\n.SH NAME\nportloom \\- " +
                     troff(app.get_description()) + "\n.SH SYNOPSIS\n";
  each_verb(app, [&](const CLI::App& verb) {
    page += ".B portloom " + troff(words_of(verb)) + "\n";
    std::string arguments;
    for (const CLI::Option* option : verb.get_options()) {
      if (!is_positional(*option)) continue;
      std::string name = option->get_name() + (option->get_items_expected_max() > 1 ? "…" : "");
      arguments += (arguments.empty() ? "" : " ") + (option->get_required() ? name : "[" + name + "]");
    }
    page += (arguments.empty() ? "" : "\\fI" + troff(arguments) + "\\fR\n") + std::string("[\\fIOPTION\\fR\\&...]\n.br\n");
  });
  page += ".SH COMMANDS\n";
  each_verb(app, [&](const CLI::App& verb) {
    page += ".SS portloom " + troff(words_of(verb)) + "\n" + troff(verb.get_description()) + "\n";
    for (const CLI::Option* option : verb.get_options())
      if (option != verb.get_help_ptr()) write_option(page, *option);
    if (std::string footer = verb.get_footer(); !footer.empty()) page += ".PP\n.nf\n" + troff(footer) + "\n.fi\n";
  });
  return page.append(rest);
}

std::string bash_completion(const CLI::App& app) {
  std::string words, values;
  write_bash_cases(app, words, values);
  return R"(# Completion of portloom for bash. Made by `portloom completion bash`; do not edit.
_portloom() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} path= words= word i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    case "${path:+$path }$word" in
)" +
         [&] {
           std::string verbs;
           auto add = [&verbs](const CLI::App& verb, const auto& self) -> void {
             for (const CLI::App* inner : verbs_of(verb)) {
               verbs += (verbs.empty() ? "" : " | ") + in_quotes(words_of(*inner));
               self(*inner, self);
             }
           };
           add(app, add);
           return "      " + verbs + ") path=${path:+$path }$word ;;\n";
         }() +
         R"(    esac
  done
  case "$path:$before" in
)" + values +
         R"(  esac
  [ -n "$words" ] || case "$path" in
)" + words +
         R"(  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [ ${#COMPREPLY[@]} != 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _portloom portloom
)";
}

std::string zsh_completion(const CLI::App& app) {
  std::string text = "#compdef portloom\n# Completion of portloom for zsh. Made by `portloom completion zsh`; do not edit.\n\n";
  write_zsh(app, text);
  return text + "_portloom \"$@\"\n";
}

Manual::Manual(CLI::App& app)
    : app_(app),
      completion_(app.add_subcommand("completion", "Print what makes a shell complete portloom's command line.")),
      manual_(app.add_subcommand("manual", "Print the manual page, for man.")) {
  completion_->footer("Examples:\n  source <(portloom completion bash)\n  portloom manual | man -l -");
  completion_->add_option("SHELL", shell_, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
}

std::optional<int> Manual::run() const {
  if (*completion_)
    std::cout << (shell_ == "bash" ? bash_completion(app_) : zsh_completion(app_));
  else if (*manual_)
    std::cout << man_page(app_);
  else
    return std::nullopt;
  return 0;
}

}  // namespace portloom::app
