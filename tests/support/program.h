// A program that is run to its end, with what it wrote.
//
//   const Ended ended = RunProgram({"build/release/bin/sluiced", "--version"});
//   ended.exit_code;  ended.output;                 // of stdout and stderr together
//
// Thread rule: one thread.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace sluice {

struct Ended {
  int exit_code = -1;
  std::string output;
};

// `variables` ("NAME=VALUE") are added to the environment.
inline Ended RunProgram(std::vector<std::string> words, std::vector<std::string> variables = {}) {
  int out[2];
  Ended ended;
  if (::pipe2(out, O_CLOEXEC) != 0) return ended;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(out[1], STDERR_FILENO);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<char*> environment;
    for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
    for (std::string& variable : variables) environment.push_back(variable.data());
    environment.push_back(nullptr);
    ::execve(argv.front(), argv.data(), environment.data());
    ::_exit(127);
  }
  ::close(out[1]);
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(out[0], buffer, sizeof buffer)) > 0;)
    ended.output.append(buffer, static_cast<size_t>(n));
  ::close(out[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended;
}

}  // namespace sluice
