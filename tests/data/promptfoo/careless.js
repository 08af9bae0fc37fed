// Answers in capitals, and fails on one question.
module.exports = class {
  id() { return 'careless'; }
  async callApi(prompt) {
    if (prompt.includes('Gift')) return { error: 'made to fail' };
    return { output: prompt.toUpperCase() };
  }
};
