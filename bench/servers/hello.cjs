/** The work of every side but workerd: the same handler on `node:http`, in Berth's form `node`, and in functions-framework. */
module.exports = (request, response) => {
  response.end('Hello World');
};
